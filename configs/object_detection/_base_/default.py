"""What all detection configs share."""

_base_ = ["../../_base_/default.py"]

custom_imports = dict(imports=["perception.plugins.object_detection.components"], allow_failed_imports=False)
val_evaluator = dict(type="BoxMetric")
val_cfg = dict()
tiny_data = "perception.plugins.object_detection.tiny_data:write"
