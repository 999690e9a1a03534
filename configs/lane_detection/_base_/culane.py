"""CULane data and schedule of GANet (spec ganet section 2)."""

_base_ = ["default.py", "ganet.py"]

data_root = "data/culane"
image_size = (1640, 590)
crop = (0, 270, 1640, 590)
epochs = 60

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
targets = dict(stride=8, sample_count=41)
dataset = dict(type="CULaneDataset", data_root=data_root)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(list_file="list/train.txt", pipeline=train_pipeline, targets=targets, **dataset),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(list_file="list/test.txt", pipeline=test_pipeline, **dataset),
)
val_evaluator = dict(type="LaneF1Metric")
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=10)
# Both schedulers reach their last value one step before `end`, the published ones at it: hence the + 1.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100 + 1),
    dict(type="PolyLR", power=1.0, eta_min=1e-5, begin=0, end=epochs + 1, by_epoch=True),
]
