"""A sticker on signs that simulated cars come up to: when, and how far away, is a sign first seen?"""

_base_ = ["signs_sticker.py"]

approach = dict(type="SignApproaches", frames=20, speed=14.0, rate_hz=10.0)
craft_data = dict(_delete_=True, seeds=tuple(range(20_000, 20_006)), **approach)
eval_data = dict(_delete_=True, seeds=tuple(range(900_000, 900_012)), **approach)
attack = dict(scope="universal")
