"""Density and attention networks on ShanghaiTech: the recipe of SFANet's trainer (spec crowd sections 4 to 6).

Adam without a schedule, crops of 400 pixels, 500 epochs. Unlike that trainer the best model is chosen on a tenth of
the training pictures that is held out, not on the test set.
"""

_base_ = ["default.py"]

base_batch_size = 8
data_root = "data/shanghaitech/part_A_final"
pretrained = None  # torchvision's VGG16-bn as a local file, needed for the published scores

test_pipeline = [
    dict(type="CrowdRoundResize", multiple=16),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_pipeline = [
    dict(type="CrowdCrop", size=(400, 400), scale=(0.8, 1.2), least=512),
    dict(type="CrowdAppearance", gamma=(0.5, 1.5), gamma_probability=0.3, gray=0.1),
    dict(type="CrowdTargets", stride=2, kernel="fixed", sigma=5.0),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="ShanghaiTechDataset", data_root=data_root, split="train", held_out=10, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="ShanghaiTechDataset", data_root=data_root, split="val", held_out=10, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="crowd_collate"),
    dataset=dict(type="ShanghaiTechDataset", data_root=data_root, split="test", pipeline=test_pipeline),
)
test_evaluator = dict(type="CrowdMetric")
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=500, val_interval=5)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
tiny_overrides = {
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.pipeline.0.size": (64, 64),
    "train_dataloader.dataset.pipeline.0.least": 0,
    "val_dataloader.num_workers": 0,
}
