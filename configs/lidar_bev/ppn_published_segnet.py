"""The published segmentation network alone (``racetrained-PPN-segnet.pth``)."""

_base_ = ["ppn_published.py"]

model = dict(evolution=None)
