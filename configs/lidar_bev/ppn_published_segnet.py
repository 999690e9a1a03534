"""The published segmentation network alone (``racetrained-PPN-segnet.pth``)."""

_base_ = ["ppn_published.py"]

model = dict(evolution=None)

_small_grid = dict(x_range=(-25.6, 25.6), y_range=(-25.6, 25.6), resolution=0.8)
tiny_overrides = dict(
    _delete_=True,
    **{
        "model.segmentation.widths": (8, 8, 8, 8, 8),
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.window.grid": _small_grid,
        "val_dataloader.dataset.window.grid": _small_grid,
        "train_dataloader.dataset.stride": 1,
        "val_dataloader.dataset.stride": 1,
    },
)
