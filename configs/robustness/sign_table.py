"""Signs with the keypoints of a REAP table, to look at before attacking them.

perception simulate data/signs_sim --format signs --scenes 8 --frames 4 --seed 900700
perception browse robustness/sign_table.py --part test --stored-only --out sheet.jpg
"""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.patch_robustness.scenes"], allow_failed_imports=False)

DATA = "data/signs_sim"
test_dataloader = dict(
    dataset=dict(
        type="SignTableScenes",
        data_root=DATA,
        ann_file="annotations/signs_test.json",
        image_dir="images",
        table="reap_annotations.csv",
        min_side=12.0,
    )
)
