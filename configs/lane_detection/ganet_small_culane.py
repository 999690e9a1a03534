"""GANet small on CULane."""

_base_ = ["_base_/culane.py"]

model = dict(decode=dict(kpt_thr=0.4, center_radius=5.0, cluster_radius=3.0, points_thr=10))
published = dict(
    value=78.79,
    metric="F1@0.5",
    version="culane",
    source="README of github.com/Wolfwjs/GANet",
    page="https://github.com/Wolfwjs/GANet",
    keys="0e37366990e85ac7",
)
