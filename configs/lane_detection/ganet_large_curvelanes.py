"""GANet large on CurveLanes; no figure was published."""

_base_ = ["_base_/curvelanes.py"]

model = dict(
    backbone=dict(depth=101, pretrained="torchvision://resnet101"),
    neck=dict(in_channels=(256, 512, 1024, 2048), point_nums=(9, 7, 5, 3), attention=(256, 256)),
    decode=dict(stride=4, kpt_thr=0.3, center_radius=10.0, cluster_radius=5.0, points_thr=20),
    sample_count=81,
)
train_dataloader = dict(dataset=dict(targets=dict(stride=4, sample_count=81)))
tiny_overrides = {"model.backbone.depth": 50, "model.neck.in_channels": (32, 64, 128, 256)}
