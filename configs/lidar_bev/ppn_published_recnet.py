"""The published reconstruction network alone (``racetrained-PPN-recnet.pth``)."""

_base_ = ["ppn_published.py"]

model = dict(segmentation=None)
