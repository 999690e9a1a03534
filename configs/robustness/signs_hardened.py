"""Adversarial training: the shipped sign detector goes on learning on batches with patches crafted against it.

perception train robustness/signs_hardened.py
"""

_base_ = ["../object_detection/signs_tiny_sim.py"]

custom_imports = dict(
    imports=[
        "perception.plugins.object_detection.components",
        "perception.plugins.patch_robustness.patch_training",
    ],
    allow_failed_imports=False,
)
data_root = "data/signs_sim"
load_from = "signs_tiny_sim.safetensors"
iterations = 500
train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=iterations)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", eta_min=2e-5, by_epoch=False, begin=0, T_max=iterations, end=iterations),
]
custom_hooks = [
    dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.005, gamma=50, update_buffers=True),
    dict(
        type="PatchTraining",
        data_root=data_root,
        table="reap_annotations.csv",
        sizes=("1_10x10_middle", "1_10x10_middle", "1_10x10_bottom", "1_10x10_top"),
        share=0.7,
        steps=2,
        step_size=0.15,
    ),
]
