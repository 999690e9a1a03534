"""What all lane detection configs share."""

_base_ = ["../../_base_/default.py"]

custom_imports = dict(imports=["perception.plugins.lane_detection.components"], allow_failed_imports=False)
