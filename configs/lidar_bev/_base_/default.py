"""What all LiDAR BEV configs share."""

_base_ = ["../../_base_/default.py"]

custom_imports = dict(imports=["perception.plugins.lidar_bev.components"], allow_failed_imports=False)
