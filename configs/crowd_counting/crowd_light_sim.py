"""The light network, trained from scratch on simulated crowds in ShanghaiTech layout."""

_base_ = ["_base_/default.py"]

trained_on = "simulator"
base_batch_size = 2
data_root = "data/crowd_sim/part_S_final"
epochs = 27

model = dict(
    type="CrowdLight",
    trunk="shufflenet_v2_x1_0",
    width=48,
    calibrate=True,
    floor=0.002,
    surround=31,
    mirror=True,
    context=((2, 4, 1, 2, 4, 1, 2, 1), (1, 1, 1, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 1)),
    loss=dict(type="BlockCountLoss", blocks=(4, 16, 64, 128), block_weight=3.0, attention_weight=0.03, exponent=0.0),
)
test_pipeline = [
    dict(type="CrowdEnlarge", factor=1.25),
    dict(type="CrowdPad", multiple=16),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_pipeline = [
    dict(type="CrowdCrop", size=(512, 512), scale=(1.0, 1.5), log=True, crowded=0.4),
    dict(
        type="CrowdAppearance", gamma=(0.6, 1.5), gamma_probability=0.25, gray=0.05, blur=0.1, noise=0.1,
        jpeg=0.2, color=0.3,
    ),
    dict(type="CrowdTargets", stride=4, kernel="adaptive", limits=(2.5, 5.0)),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]  # fmt: skip

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="ShanghaiTechDataset", data_root=data_root, split="train", held_out=20, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="ShanghaiTechDataset", data_root=data_root, split="val", held_out=20, pipeline=test_pipeline),
)

train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=3)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="ConvMuon", lr=8e-4, weight_decay=1e-2),
    clip_grad=dict(max_norm=20.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-5,
        begin=0,
        T_max=epochs,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
custom_hooks = [
    dict(type="FreezeNorm", after=0.6),
    dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.002, gamma=100, update_buffers=True),
]

# What the test of all configs changes to run in a moment.
tiny_overrides = {
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.pipeline.0.size": (64, 64),
}
