"""GANet large on CULane."""

_base_ = ["_base_/culane.py"]

model = dict(
    backbone=dict(depth=101, pretrained="torchvision://resnet101"),
    neck=dict(in_channels=(256, 512, 1024, 2048), point_nums=(9, 7, 5, 3), attention=(256, 256)),
    decode=dict(stride=4, kpt_thr=0.3, center_radius=10.0, cluster_radius=5.0, points_thr=20),
    sample_count=81,
)
train_dataloader = dict(dataset=dict(targets=dict(stride=4, sample_count=81)))
published = dict(
    value=79.63,
    metric="F1@0.5",
    version="culane",
    source="README of github.com/Wolfwjs/GANet",
    page="https://github.com/Wolfwjs/GANet",
    keys="f3c5ca9551439c1a",
)
tiny_overrides = {"model.backbone.depth": 50, "model.neck.in_channels": (32, 64, 128, 256)}
