"""M-SFANet* on JHU-CROWD++ by the recipe of UCF-QNRF; the paper has no figures for it."""

_base_ = ["_base_/bayesian.py"]

data_root = "data/jhu_crowd"
model = dict(type="M_SFANet_UCF_QNRF", pretrained={{_base_.pretrained}}, loss=dict(type="BayesianLoss"))
train_dataloader = dict(dataset=dict(type="JHUCrowdDataset", data_root=data_root, split="train", held_out=0))
val_dataloader = dict(dataset=dict(type="JHUCrowdDataset", data_root=data_root, split="val", held_out=0))
test_dataloader = dict(dataset=dict(type="JHUCrowdDataset", data_root=data_root, split="test"))
