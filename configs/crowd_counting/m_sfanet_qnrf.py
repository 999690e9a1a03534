"""M-SFANet* (VGG19, Bayesian loss) on UCF-QNRF."""

_base_ = ["_base_/bayesian.py"]

published = dict(
    metric="MAE",
    value=85.6,
    rmse=151.23,
    version="UCF-QNRF, test",
    source="paper",
    page="https://arxiv.org/abs/2003.05586",
    keys="cfad13a4828a102f",
)
model = dict(type="M_SFANet_UCF_QNRF", pretrained={{_base_.pretrained}}, loss=dict(type="BayesianLoss"))
