"""Both networks at full width on nuScenes: 1000 x 1000 cells of 0.2 m, 16 sweeps, labels and future sweeps as targets.

The recipe to begin with of spec section 8; its scores have not been measured. Sweeps come every 50 ms there, and only
key frames, every half second, have boxes and point labels.
"""

_base_ = ["ppn_tiny_sim.py"]

trained_on = "nuScenes"
base_batch_size = 8
data_root = "data/nuscenes"
epochs = 20

window = dict(
    grid=dict(x_range=(-100.0, 100.0), y_range=(-100.0, 100.0), resolution=0.2),
    frames=16,
    horizons=(0.1, 0.3, 0.5, 1.0),
)
channels = 16 + 5
widths = (32, 64, 128, 256, 512, 1024)

model = dict(
    segmentation=dict(frames=channels, widths=widths),
    evolution=dict(frames=channels, widths=widths),
    channels_last=False,
)
train_dataloader = dict(batch_size=1, dataset=dict(data_root=data_root, window=window, stride=10, cache=".ppn"))
val_dataloader = dict(batch_size=1, dataset=dict(data_root=data_root, window=window, stride=10, cache=".ppn"))
test_dataloader = dict(
    batch_size=1, dataset=dict(data_root=data_root, window=window, stride=10, part="val", cache=".ppn")
)
train_cfg = dict(max_epochs=epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=500),
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
