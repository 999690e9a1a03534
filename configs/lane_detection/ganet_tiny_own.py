"""The tiny GANet trained further on own labels, see OwnLanesDataset for their layout."""

_base_ = ["ganet_tiny_sim.py"]

data_root = "data/own_lanes"
epochs = 10
load_from = "ganet_tiny_sim.safetensors"
train_dataloader = dict(
    batch_size=16, dataset=dict(type="OwnLanesDataset", data_root=data_root, list_file="labels.jsonl")
)
val_dataloader = dict(dataset=dict(type="OwnLanesDataset", data_root=data_root, list_file="val.jsonl"))
train_cfg = dict(max_epochs=epochs, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
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
