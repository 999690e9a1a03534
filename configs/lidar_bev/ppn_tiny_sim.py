"""Both networks with 0.5 M parameters for CPUs, 128 x 128 cells of 0.8 m, trained on simulated towns.

The data: ``perception simulate data/lidar_sim --format nuscenes --scenes 20 --frames 60 --option key_every=1``.
"""

_base_ = ["_base_/default.py"]

trained_on = "simulator"
base_batch_size = 4
data_root = "data/lidar_sim"
epochs = 14

window = dict(
    grid=dict(x_range=(-51.2, 51.2), y_range=(-51.2, 51.2), resolution=0.8),
    frames=8,
    horizons=(0.1, 0.3, 0.5, 1.0),
)
channels = 8 + 5
widths = (8, 16, 32, 48, 64)

model = dict(
    type="ParallelPerception",
    segmentation=dict(type="PyramidNet", frames=channels, widths=widths, outputs=4, head="logits"),
    evolution=dict(type="AutoencoderNet", frames=channels, widths=widths, outputs=4, head="logits", skip=True),
    class_weights=(0.5, 1.0, 3.0, 4.0),
    moving_weight=10.0,
    channels_last=True,
)

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="LidarBevDataset", data_root=data_root, window=window, stride=3, part="train", flip=True, cache=".ppn"
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(type="LidarBevDataset", data_root=data_root, window=window, stride=4, part="val", cache=".ppn"),
)
val_evaluator = dict(type="LidarBevMetric")
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(type="LidarBevDataset", data_root=data_root + "_test", window=window, stride=3, cache=".ppn"),
)
test_evaluator = dict(type="LidarBevMetric")

train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=7)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=60),
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
custom_hooks = [dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.01, gamma=40, update_buffers=True)]

# What the test of all configs changes to run in a moment, and what writes the data that it reads.
tiny_data = "perception.plugins.lidar_bev.tiny_data:write"
_small_grid = dict(x_range=(-25.6, 25.6), y_range=(-25.6, 25.6), resolution=0.8)
tiny_overrides = {
    "model.segmentation.widths": (8, 8, 8, 8, 8),
    "model.evolution.widths": (8, 8, 8, 8, 8),
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.window.grid": _small_grid,
    "val_dataloader.dataset.window.grid": _small_grid,
    "train_dataloader.dataset.stride": 1,
    "val_dataloader.dataset.stride": 1,
}
