"""Stickers on simulated signs through the masking defence, with the checks that tell whether it was attacked well.

perception simulate data/signs_sim --format signs --scenes 90 --seed 20000
perception simulate data/signs_test --format signs --scenes 60 --seed 900000
perception attack run robustness/signs_masked.py
"""

default_scope = "perception"
custom_imports = dict(
    imports=[
        "perception.plugins.object_detection.components",
        "perception.plugins.patch_robustness.crops",
        "perception.plugins.patch_robustness.masking",
    ],
    allow_failed_imports=False,
)

detector = dict(
    type="ObjectDetectionTarget",
    config="object_detection/signs_tiny_sim.py",
    weights="signs_tiny_sim.safetensors",
    enlarge=False,
    loss="score",
)
target = dict(type="MaskedTarget", target=detector, lines=3, score=0.37)
attack = dict(
    goal="hide",
    method="adam",
    scope="per_class",
    steps=30,
    step_size=0.3,
    batch=4,
    width=32,
    size="1_10x10_middle",
    smooth=0.0,
    eot=dict(translation=0.02, jitter=0.05),
)
assess = dict(samples=6, steps=60)
signs = dict(type="SignTableScenes", image_dir="images", table="reap_annotations.csv", min_side=24.0)
train = dict(signs, data_root="data/signs_sim", ann_file="annotations/signs_train.json")
test = dict(signs, data_root="data/signs_test", ann_file="annotations/signs_test.json", limit=80)
craft_data = dict(type="CroppedScenes", size=(128, 128), dataset=train)
eval_data = dict(type="CroppedScenes", size=(128, 128), dataset=test)
seeds = (0,)
threshold = 0.37
