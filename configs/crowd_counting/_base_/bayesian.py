"""UCF-QNRF forms with the Bayesian loss: the published recipe (spec crowd sections 4 to 6).

Adam inside Lookahead (alpha 0.5, 6 steps) without a schedule, crops of 512 pixels, 1,200 epochs, validation every 5
epochs from epoch 600 on.
"""

_base_ = ["default.py"]

base_batch_size = 5
data_root = "data/ucf_qnrf"
pretrained = None  # torchvision's VGG19 as a local file, needed for the published scores

test_pipeline = [
    dict(type="CrowdScaleLimits", least=512, most=2048),
    dict(type="CrowdRoundResize", multiple=16),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_pipeline = [
    dict(type="CrowdScaleLimits", least=512, most=2048),
    dict(type="CrowdBayesCrop", size=512),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_dataloader = dict(
    batch_size=5,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="QNRFDataset", data_root=data_root, split="train", held_out=10, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="QNRFDataset", data_root=data_root, split="val", held_out=10, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="QNRFDataset", data_root=data_root, split="test", pipeline=test_pipeline),
)
test_evaluator = dict(type="CrowdMetric")
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=1200, val_begin=600, val_interval=5)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Lookahead", lr=5e-4, base=dict(type="Adam", weight_decay=1e-4), alpha=0.5, steps=6),
)
tiny_overrides = {
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.pipeline.0.least": 64,
    "train_dataloader.dataset.pipeline.1.size": 64,
    "val_dataloader.num_workers": 0,
    "val_dataloader.dataset.pipeline.0.least": 64,
}
