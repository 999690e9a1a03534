"""GANet of 2 M parameters for CPUs, trained from scratch on simulated images in CULane layout."""

_base_ = ["_base_/default.py"]

trained_on = "simulator"
base_batch_size = 32
data_root = "data/lanes_sim"
view = (0.0, 0.35, 1.0, 1.0)
input_size = (400, 160)
cache_size = (480, 270)
epochs = 30

model = dict(
    type="GANet",
    backbone=dict(type="SlimResNet", depth=18, base_width=24, out_indices=(1, 2, 3)),
    neck=dict(
        type="DeformFPN",
        in_channels=(48, 96, 192),
        out_channels=48,
        point_nums=(7,),
        attention=(48, 48),
        hidden=64,
        unused_members=False,
    ),
    bbox_head=dict(type="GANetHead", in_channels=48, branch_channels=48, start_branch=False),
    decode=dict(stride=8, kpt_thr=0.5, center_radius=4.0, points_thr=4, refine=True, half_pixel=True),
    sample_count=21,
    channels_last=True,
)

normalize = dict(type="LaneNormalize", mean=(110.0, 110.0, 110.0), std=(60.0, 60.0, 60.0), order="rgb")
test_pipeline = [
    dict(type="LaneCrop", box=view),
    dict(type="LaneResize", size=input_size, interpolation="area", half_pixel=True),
    normalize,
    dict(type="PackLanes"),
]
train_pipeline = [
    dict(type="LaneWarp", size=input_size, box=view),
    dict(type="LaneAppearance"),
    normalize,
    dict(type="PackLanes"),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="CULaneDataset",
        data_root=data_root,
        list_file="list/train.txt",
        pipeline=train_pipeline,
        targets=dict(stride=8, sample_count=21, max_lanes=8),
        cache_size=cache_size,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(type="CULaneDataset", data_root=data_root, list_file="list/val.txt", pipeline=test_pipeline),
)
val_evaluator = dict(type="LaneF1Metric")

train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=5)
val_cfg = dict()
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=35.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=200),
    dict(
        type="CosineAnnealingLR",
        eta_min=2e-5,
        begin=0,
        T_max=epochs,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
custom_hooks = [dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.001, gamma=200, update_buffers=True)]

# What the test of all configs changes to run in a moment, and what writes the data that it reads.
tiny_data = "perception.plugins.lane_detection.tiny_data:write"
tiny_overrides = {
    "model.backbone.base_width": 8,
    "model.neck.in_channels": (16, 32, 64),
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.cache_size": (160, 90),
    "train_dataloader.dataset.pipeline.0.size": (160, 64),
    "val_dataloader.dataset.pipeline.1.size": (160, 64),
}
