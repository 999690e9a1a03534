"""The published networks, both of them: 1000 x 1000 cells of 0.2 m, 16 maps, one output each, decoder unchained.

For the published weights: ``perception convert racetrained-PPN-model.pth --config lidar_bev/ppn_published.py``. To
train, use ``ppn_full.py``: most of these weights do not reach the output.
"""

_base_ = ["ppn_full.py"]

window = dict(
    grid=dict(x_range=(-100.0, 100.0), y_range=(-100.0, 100.0), resolution=0.2),
    frames=16,
    horizons=(0.0,),
    extras=(),
    obstacle=(0.0, 5.0),
    level=False,
    compensate=False,
)
model = dict(
    segmentation=dict(frames=16, outputs=1, head="published", decoder="unchained"),
    evolution=dict(frames=16, outputs=1, head="published", skip=False),
    class_weights=None,
)
train_dataloader = dict(dataset=dict(window=dict(_delete_=True, **window)))
val_dataloader = dict(dataset=dict(window=dict(_delete_=True, **window)))
test_dataloader = dict(dataset=dict(window=dict(_delete_=True, **window)))
