"""M-SFANet on TRANCOS: vehicles inside a region, scored by GAME; its published figure is not verified."""

_base_ = ["_base_/dual_path.py"]

data_root = "data/trancos"
model = dict(type="M_SFANet", pretrained={{_base_.pretrained}}, loss=dict(type="DualPathLoss"))
train_dataloader = dict(dataset=dict(type="TrancosDataset", data_root=data_root, split="train", held_out=0))
val_dataloader = dict(dataset=dict(type="TrancosDataset", data_root=data_root, split="val", held_out=0))
test_dataloader = dict(dataset=dict(type="TrancosDataset", data_root=data_root, split="test"))
