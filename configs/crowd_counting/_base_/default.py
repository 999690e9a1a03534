"""What all crowd counting configs share."""

_base_ = ["../../_base_/default.py"]

custom_imports = dict(imports=["perception.plugins.crowd_counting.components"], allow_failed_imports=False)
default_hooks = dict(checkpoint=dict(save_best="crowd/MAE", rule="less"))
val_evaluator = dict(type="CrowdMetric")
val_cfg = dict()
tiny_data = "perception.plugins.crowd_counting.tiny_data:write"
