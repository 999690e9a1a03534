"""GANet small on TuSimple."""

_base_ = ["_base_/tusimple.py"]

model = dict(decode=dict(kpt_thr=0.3, center_radius=4.0, cluster_radius=4.0, points_thr=7))
published = dict(
    value=97.71,
    metric="F1",
    version="tusimple",
    source="README of github.com/Wolfwjs/GANet",
    page="https://github.com/Wolfwjs/GANet",
    keys="0e37366990e85ac7",
)
