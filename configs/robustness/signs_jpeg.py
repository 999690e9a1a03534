"""The stickers of ``signs_masked.py`` through JPEG compression, whose gradient is taken for the identity (BPDA)."""

_base_ = ["signs_masked.py"]

target = dict(_delete_=True, type="DefendedTarget", target={{_base_.detector}}, defence=dict(type="Jpeg", quality=50))
