"""FCOS of 0.5 M parameters for CPUs: the eleven sign shapes of REAP, trained from scratch on the simulator."""

_base_ = ["_base_/default.py"]

trained_on = "simulator"
data_root = "data/signs_sim"
input_size = (512, 384)
iterations = 1600
base_batch_size = 16
class_names = (
    *("circle", "triangle", "up-triangle", "diamond-s", "diamond-l", "square"),
    *("rect-s", "rect-m", "rect-l", "pentagon", "octagon"),
)

norm = dict(type="WindowGroupNorm", num_groups=8, window=17)  # maps of training crops fit into it

model = dict(
    type="MMDetDetector",
    class_names=class_names,
    input_size=input_size,
    mean=(110.0, 110.0, 110.0),
    std=(60.0, 60.0, 60.0),
    detector=dict(
        type="FCOS",
        backbone=dict(
            type="ResNet",
            depth=18,
            base_channels=24,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(1, 2),
            norm_cfg=dict(type="BN"),
        ),
        neck=dict(
            type="FPN",
            in_channels=[48, 96],
            out_channels=48,
            start_level=0,
            num_outs=2,
            norm_cfg=norm,
        ),
        bbox_head=dict(
            type="FCOSHead",
            num_classes=len(class_names),
            in_channels=48,
            feat_channels=48,
            stacked_convs=2,
            strides=[8, 16],
            regress_ranges=((-1, 48), (48, 1e8)),
            center_sampling=True,
            center_sample_radius=1.5,
            norm_on_bbox=True,
            centerness_on_reg=True,
            norm_cfg=norm,
            loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
            loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        ),
        test_cfg=dict(
            nms_pre=300, min_bbox_size=0, score_thr=0.02, nms=dict(type="nms", iou_threshold=0.6), max_per_img=50
        ),
    ),
)

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="CocoBoxes",
        data_root=data_root,
        ann_file="annotations/signs_train.json",
        image_dir="images",
        class_names=class_names,
        input_size=input_size,
        brightness=0.3,
        zoom=(0.6, 1.4),
        crop=(128, 128),
        cache=True,
        min_size=6.0,
        train=True,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="CocoBoxes",
        data_root=data_root,
        ann_file="annotations/signs_val.json",
        image_dir="images",
        class_names=class_names,
        input_size=input_size,
    ),
)
val_evaluator = dict(type="BoxMetric", min_side=24.0)

train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=400)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=10.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min=2e-5, by_epoch=False, begin=0, T_max=iterations, end=iterations),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100))
custom_hooks = [dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.002, gamma=200, update_buffers=True)]
tiny_overrides = {
    "model.input_size": (160, 128),
    "model.detector.backbone.base_channels": 8,
    "model.detector.neck.in_channels": [16, 32],
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.input_size": (160, 128),
    "val_dataloader.batch_size": 2,
    "val_dataloader.dataset.input_size": (160, 128),
}
