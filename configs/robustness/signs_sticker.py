"""A 10 x 10 inch sticker on signs against the tiny sign detector, on simulated towns.

perception simulate data/signs_sim --format signs --scenes 90 --seed 20000
perception simulate data/signs_test --format signs --scenes 60 --seed 900000
"""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.object_detection.components"], allow_failed_imports=False)

target = dict(
    type="ObjectDetectionTarget",
    config="object_detection/signs_tiny_sim.py",
    weights="signs_tiny_sim.safetensors",
)
attack = dict(
    goal="hide",
    method="adam",
    steps=200,
    step_size=0.03,
    batch=4,
    size="1_10x10_bottom",
    eot=dict(rotation=5.0, translation=0.03, jitter=0.1, noise=0.02),
)
signs = dict(type="SignTableScenes", image_dir="images", table="reap_annotations.csv", min_side=24.0)
craft_data = dict(signs, data_root="data/signs_sim", ann_file="annotations/signs_train.json", limit=50)
eval_data = dict(signs, data_root="data/signs_test", ann_file="annotations/signs_test.json")
seeds = (0, 1, 2)
threshold = 0.37
