"""CurveLanes data for GANet: many lanes, images of several sizes.

Crop, epochs and metric settings are ours (the paper reports no CurveLanes configuration): the upper 4/9 of the image is
cut away, as fits 2560 x 1440, and F1 is counted on 224 x 224 with lines 5 px wide.
"""

_base_ = ["culane.py"]

data_root = "data/curvelanes"
crop = (0.0, 0.4444, 1.0, 1.0)

test_pipeline = [
    dict(type="LaneCrop", box=crop),
    dict(type="LaneResize", size={{_base_.input_size}}),
    {{_base_.normalize}},
    dict(type="PackLanes"),
]
train_pipeline = [
    dict(type="LaneCrop", box=crop),
    dict(type="LaneFlip"),
    dict(type="LaneResize", size={{_base_.input_size}}),
    dict(type="GANetAugment"),
    {{_base_.normalize}},
    dict(type="PackLanes"),
]
dataset = dict(type="CurveLanesDataset", data_root=data_root)
train_dataloader = dict(
    dataset=dict(list_file="train/train.txt", pipeline=train_pipeline, targets=dict(max_lanes=14), **dataset)
)
val_dataloader = dict(dataset=dict(list_file="valid/valid.txt", pipeline=test_pipeline, **dataset))
val_evaluator = dict(type="LaneF1Metric", size=(224, 224), width=5)
