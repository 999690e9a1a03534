"""A patch on the road in front of the shipped lane detector, on simulated roads."""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.lane_detection.attack_target"], allow_failed_imports=False)

target = dict(
    type="LaneDetectionTarget", config="lane_detection/ganet_tiny_sim.py", weights="ganet_tiny_sim.safetensors"
)
attack = dict(goal="hide", method="adam", steps=100, step_size=0.05, batch=2, size="", eot=dict(jitter=0.1, noise=0.02))
road = dict(type="SimulatedRoads", size=(640, 360), ahead=12.0, size_m=(8.0, 3.5))
craft_data = dict(road, count=8, seed=800_000)
eval_data = dict(road, count=16, seed=950_000)
seeds = (0, 1, 2)
threshold = 0.3
