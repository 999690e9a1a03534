"""M-SegNet on ShanghaiTech part B."""

_base_ = ["_base_/dual_path.py"]

published = dict(
    metric="MAE",
    value=6.8,
    rmse=10.41,
    version="ShanghaiTech part B, test",
    source="paper, table of ShanghaiTech",
    page="https://arxiv.org/abs/2003.05586",
    keys="5f5dd460feece53b",
)
data_root = "data/shanghaitech/part_B_final"
model = dict(type="M_SegNet", pretrained={{_base_.pretrained}}, loss=dict(type="DualPathLoss"))
train_pipeline = [
    dict(type="CrowdCrop", size=(400, 400), scale=(0.8, 1.2)),
    dict(type="CrowdAppearance", gamma=(0.5, 1.5), gamma_probability=0.3, gray=0.0),
    dict(type="CrowdTargets", stride=2, kernel="fixed", sigma=5.0),
    dict(type="CrowdNormalize"),
    dict(type="PackCrowd"),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
