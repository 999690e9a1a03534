"""TuSimple data and schedule of GANet (spec ganet section 2); what it does not name is as for CULane."""

_base_ = ["culane.py"]

data_root = "data/tusimple"
image_size = (1280, 720)
crop = (0, 160, 1280, 720)
epochs = 300

test_pipeline = [
    dict(type="LaneCrop", box=crop, reference=image_size),
    dict(type="LaneResize", size={{_base_.input_size}}),
    {{_base_.normalize}},
    dict(type="PackLanes"),
]
train_pipeline = [
    dict(type="LaneCrop", box=crop, reference=image_size),
    dict(type="LaneFlip"),
    dict(type="LaneResize", size={{_base_.input_size}}),
    dict(type="GANetAugment"),
    {{_base_.normalize}},
    dict(type="PackLanes"),
]
dataset = dict(type="TuSimpleDataset", data_root=data_root)
labels = ["label_data_0313.json", "label_data_0531.json", "label_data_0601.json"]
train_dataloader = dict(dataset=dict(list_file=labels, pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(list_file="test_label.json", pipeline=test_pipeline, **dataset))
val_evaluator = dict(_delete_=True, type="TuSimpleMetric")
train_cfg = dict(max_epochs=epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100 + 1),
    dict(type="PolyLR", power=1.0, eta_min=1e-5, begin=0, end=epochs + 1, by_epoch=True),
]
