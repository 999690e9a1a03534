"""The benchmark's question on simulated signs: is a sticker as strong under real light and view as in a flat paste?

    perception simulate data/signs_sim --format signs --scenes 90 --seed 20000
    perception simulate data/signs_test --format signs --scenes 60 --seed 900000
    perception attack study robustness/signs_study.py --out out/study

Signs are cut out of their pictures at full resolution, for crafting and for measuring: twelve times less work, and the
detector is convolutional.
"""

default_scope = "perception"
custom_imports = dict(
    imports=[
        "perception.plugins.object_detection.components",
        "perception.plugins.patch_robustness.pasted_signs",
        "perception.plugins.patch_robustness.crops",
    ],
    allow_failed_imports=False,
)

detector = dict(type="ObjectDetectionTarget", config="object_detection/signs_tiny_sim.py", enlarge=False, loss="score")
victims = dict(
    plain=dict(detector, weights="signs_tiny_sim.safetensors"),
    hardened=dict(detector, weights="signs_tiny_sim_hardened.safetensors"),  # robustness/signs_hardened.py
)
attack = dict(
    goal="hide",
    method="adam",
    scope="per_class",
    steps=60,
    step_size=0.3,
    batch=6,
    width=32,
    size="1_10x10_middle",
    smooth=0.0,
    eot=dict(translation=0.02, jitter=0.05),
)
seeds = (0, 1, 2)
thresholds = dict(plain=0.37, hardened=0.40)  # best F1 on signs_val

signs = dict(type="SignTableScenes", image_dir="images", table="reap_annotations.csv", min_side=24.0)
pasted = dict(type="PastedSigns", image_dir="images", side=(24.0, 72.0))
train = dict(data_root="data/signs_sim", ann_file="annotations/signs_train.json")
test = dict(data_root="data/signs_test", ann_file="annotations/signs_test.json")
size = (128, 128)
renderings = dict(
    realistic=dict(
        craft_data=dict(type="CroppedScenes", size=size, dataset=dict(signs, **train)),
        eval_data=dict(type="CroppedScenes", size=size, dataset=dict(signs, **test)),
    ),
    synthetic=dict(
        craft_data=dict(type="CroppedScenes", size=size, dataset=dict(pasted, **train, count=330)),
        eval_data=dict(type="CroppedScenes", size=size, dataset=dict(pasted, **test, count=220, seed=5000)),
    ),
)
cross = (("synthetic", "realistic"), ("realistic", "synthetic"))
