"""M-SegNet* (VGG19, Bayesian loss) on UCF-QNRF."""

_base_ = ["_base_/bayesian.py"]

published = dict(
    metric="MAE",
    value=95.17,
    rmse=153.73,
    version="UCF-QNRF, test",
    source="authors' repository",
    page="https://arxiv.org/abs/2003.05586",
    keys="971f3a1a78604318",
)
model = dict(type="M_SegNet_UCF_QNRF", pretrained={{_base_.pretrained}}, loss=dict(type="BayesianLoss"))
