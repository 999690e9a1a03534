"""Published GANet, small model (CVPR 2022; spec ganet sections 1 and 2): ResNet-18, heatmap at stride 8."""

model = dict(
    type="GANet",
    backbone=dict(type="SlimResNet", depth=18, frozen_stages=1, norm_eval=True, pretrained="torchvision://resnet18"),
    neck=dict(type="DeformFPN", in_channels=(128, 256, 512), point_nums=(7, 5, 3), attention=(64, 64)),
    bbox_head=dict(type="GANetHead"),
    decode=dict(stride=8, root_thr=1.0),
    sample_count=41,
)

normalize = dict(type="LaneNormalize", mean=(75.3, 76.6, 77.6), std=(50.5, 53.8, 54.3), order="bgr")
input_size = (800, 320)

base_batch_size = 64
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
    clip_grad=dict(max_norm=35, norm_type=2),
)
find_unused_parameters = True
val_cfg = dict()

# What the test of all configs changes to run in a moment, and what writes the data that it reads.
tiny_data = "perception.plugins.lane_detection.tiny_data:write"
tiny_overrides = {
    "model.backbone.base_width": 8,
    "model.backbone.frozen_stages": -1,
    "model.backbone.pretrained": None,
    "model.neck.in_channels": (16, 32, 64),
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.pipeline.2.size": (160, 64),
    "val_dataloader.num_workers": 0,
    "val_dataloader.dataset.pipeline.1.size": (160, 64),
}
