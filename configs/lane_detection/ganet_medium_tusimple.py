"""GANet medium on TuSimple."""

_base_ = ["_base_/tusimple.py"]

model = dict(
    backbone=dict(depth=34, pretrained="torchvision://resnet34"),
    decode=dict(kpt_thr=0.3, center_radius=4.0, cluster_radius=4.0, points_thr=7),
)
published = dict(
    value=97.68,
    metric="F1",
    version="tusimple",
    source="README of github.com/Wolfwjs/GANet",
    page="https://github.com/Wolfwjs/GANet",
    keys="f9675398dac383cd",
)
