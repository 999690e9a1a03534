"""GANet medium on CULane."""

_base_ = ["_base_/culane.py"]

model = dict(
    backbone=dict(depth=34, pretrained="torchvision://resnet34"),
    decode=dict(kpt_thr=0.4, center_radius=5.0, cluster_radius=3.0, points_thr=10),
)
published = dict(
    value=79.39,
    metric="F1@0.5",
    version="culane",
    source="README of github.com/Wolfwjs/GANet",
    page="https://github.com/Wolfwjs/GANet",
    keys="f9675398dac383cd",
)
