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
