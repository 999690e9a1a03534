"""Published schedule of LaneSegNet and TopoNet (spec lanesegnet section 12, spec toponet section 8).

AdamW, a tenth of the rate for the image backbone, linear warm-up over 500 iterations from a third, then per epoch a
cosine down to a thousandth. The batch is one sample on each of eight devices.
"""

base_batch_size = 8
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"img_backbone": dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=35, norm_type=2),
)
train_cfg = dict(by_epoch=True, max_epochs=24, val_interval=24)
# The warm-up reaches its last value one step before `end`, the published one at it: hence the + 1.
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500 + 1),
    dict(type="CosineAnnealingLR", T_max=24, eta_min_ratio=1e-3, begin=0, end=24, by_epoch=True),
]
