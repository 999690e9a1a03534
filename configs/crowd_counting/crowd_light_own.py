"""The light network on own pictures and points: train.json and val.json, or .csv."""

_base_ = ["crowd_light_sim.py"]

data_root = "data/own_crowd"
load_from = None  # shipped or own weights to begin from
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type="OwnPointsDataset", data_root=data_root, split="train", pipeline={{_base_.train_pipeline}}
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type="OwnPointsDataset", data_root=data_root, split="val", pipeline={{_base_.test_pipeline}}
    )
)
