"""M-SegNet on ShanghaiTech part A."""

_base_ = ["_base_/dual_path.py"]

published = dict(
    metric="MAE",
    value=60.55,
    rmse=100.8,
    version="ShanghaiTech part A, test",
    source="paper, table of ShanghaiTech",
    page="https://arxiv.org/abs/2003.05586",
    keys="5f5dd460feece53b",
)
data_root = "data/shanghaitech/part_A_final"
model = dict(type="M_SegNet", pretrained={{_base_.pretrained}}, loss=dict(type="DualPathLoss"))
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
