"""RetinaNet, ResNet-50 FPN, COCO, twelve epochs (arXiv 1708.02002): one stage."""

_base_ = ["_base_/coco.py"]

model = dict(
    type="MMDetDetector",
    class_names=_base_.class_names,
    input_size=_base_.input_size,
    detector=dict(
        type="RetinaNet",
        backbone=dict(
            type="ResNet",
            depth=50,
            out_indices=(0, 1, 2, 3),
            frozen_stages=1,
            norm_cfg=dict(type="BN", requires_grad=False),
            norm_eval=True,
            init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
        ),
        neck=dict(
            type="FPN",
            in_channels=[256, 512, 1024, 2048],
            out_channels=256,
            start_level=1,
            add_extra_convs="on_input",
            num_outs=5,
        ),
        bbox_head=dict(
            type="RetinaHead",
            num_classes=80,
            in_channels=256,
            stacked_convs=4,
            feat_channels=256,
            anchor_generator=dict(
                type="AnchorGenerator",
                octave_base_scale=4,
                scales_per_octave=3,
                ratios=[0.5, 1.0, 2.0],
                strides=[8, 16, 32, 64, 128],
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
            loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        ),
        train_cfg=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
            sampler=dict(type="PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100
        ),
    ),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=_base_.epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
tiny_overrides = {
    "model.detector.backbone.depth": 18,
    "model.detector.backbone.base_channels": 8,
    "model.detector.backbone.frozen_stages": -1,
    "model.detector.backbone.init_cfg": None,
    "model.detector.neck.in_channels": [8, 16, 32, 64],
    "model.detector.neck.out_channels": 16,
    "model.detector.bbox_head.in_channels": 16,
    "model.detector.bbox_head.feat_channels": 16,
    "model.detector.bbox_head.stacked_convs": 1,
}
