"""A patch on the road, fixed in the world, while simulated cars drive towards it: lateral deviation and lost frames."""

_base_ = ["lanes_road_patch.py"]

attack = dict(goal="shift")
drive = dict(type="DriveScenes", size=(640, 360), ahead=30.0, size_m=(8.0, 3.5), frames=24, every=3)
craft_data = dict(_delete_=True, seeds=(800_001, 800_002), **drive)
eval_data = dict(_delete_=True, seeds=(950_001, 950_002, 950_003), **drive)
corruptions = dict(kinds=("fog", "rain", "blur", "calibration", "camera_lag"), severities=(1, 3, 5))
