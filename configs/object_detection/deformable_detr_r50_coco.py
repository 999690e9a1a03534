"""Deformable DETR, ResNet-50, COCO, fifty epochs (arXiv 2010.04159): a transformer with sparse attention."""

_base_ = ["_base_/coco.py"]

epochs = 50
dims = 256
model = dict(
    type="MMDetDetector",
    class_names=_base_.class_names,
    input_size=_base_.input_size,
    detector=dict(
        type="DeformableDETR",
        num_queries=300,
        num_feature_levels=4,
        with_box_refine=False,
        as_two_stage=False,
        backbone=dict(
            type="ResNet",
            depth=50,
            out_indices=(1, 2, 3),
            frozen_stages=1,
            norm_cfg=dict(type="BN", requires_grad=False),
            norm_eval=True,
            init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
        ),
        neck=dict(
            type="ChannelMapper",
            in_channels=[512, 1024, 2048],
            kernel_size=1,
            out_channels=dims,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=8),
            num_outs=4,
        ),
        encoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=dims, batch_first=True),
                ffn_cfg=dict(embed_dims=dims, feedforward_channels=1024, ffn_drop=0.1),
            ),
        ),
        decoder=dict(
            num_layers=6,
            return_intermediate=True,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=dims, num_heads=8, dropout=0.1, batch_first=True),
                cross_attn_cfg=dict(embed_dims=dims, batch_first=True),
                ffn_cfg=dict(embed_dims=dims, feedforward_channels=1024, ffn_drop=0.1),
            ),
            post_norm_cfg=None,
        ),
        positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=-0.5),
        bbox_head=dict(
            type="DeformableDETRHead",
            num_classes=80,
            sync_cls_avg_factor=True,
            loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
            loss_bbox=dict(type="L1Loss", loss_weight=5.0),
            loss_iou=dict(type="GIoULoss", loss_weight=2.0),
        ),
        train_cfg=dict(
            assigner=dict(
                type="HungarianAssigner",
                match_costs=[
                    dict(type="FocalLossCost", weight=2.0),
                    dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
                    dict(type="IoUCost", iou_mode="giou", weight=2.0),
                ],
            )
        ),
        test_cfg=dict(max_per_img=100),
    ),
)

base_batch_size = 32
train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "sampling_offsets": dict(lr_mult=0.1),
            "reference_points": dict(lr_mult=0.1),
        }
    ),
)
param_scheduler = [dict(type="MultiStepLR", begin=0, end=epochs, by_epoch=True, milestones=[40], gamma=0.1)]
_layers = {
    f"model.detector.{part}.layer_cfg.{key}": value
    for part in ("encoder", "decoder")
    for key, value in (
        ("self_attn_cfg.embed_dims", 32),
        ("ffn_cfg.embed_dims", 32),
        ("ffn_cfg.feedforward_channels", 32),
    )
}
tiny_overrides = {
    **_layers,
    "model.detector.num_queries": 20,
    "model.detector.backbone.depth": 18,
    "model.detector.backbone.base_channels": 8,
    "model.detector.backbone.frozen_stages": -1,
    "model.detector.backbone.init_cfg": None,
    "model.detector.neck.in_channels": [16, 32, 64],
    "model.detector.neck.out_channels": 32,
    "model.detector.encoder.num_layers": 1,
    "model.detector.decoder.num_layers": 1,
    "model.detector.decoder.layer_cfg.cross_attn_cfg.embed_dims": 32,
    "model.detector.positional_encoding.num_feats": 16,
    "model.detector.bbox_head.embed_dims": 32,
}
