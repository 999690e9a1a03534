"""What does a sticker do to our signs, our lanes, our counts? Patch attacks on any model (REAP, ICCV 2023, widened)."""

from perception.plugin import PluginSpec

PLUGIN = PluginSpec(
    name="patch_robustness",
    task="robustness to patches",
    summary="patches on signs and roads under measured light and geometry, against any model",
    modules=(
        "perception.plugins.patch_robustness.scenes",
        "perception.plugins.patch_robustness.crowd_scenes",
        "perception.plugins.patch_robustness.drive_scenes",
        "perception.plugins.patch_robustness.defences",
        "perception.plugins.patch_robustness.masking",
        "perception.plugins.patch_robustness.crops",
        "perception.plugins.patch_robustness.pasted_signs",
        "perception.plugins.patch_robustness.sign_approaches",
        "perception.plugins.patch_robustness.patch_training",
        "perception.plugins.patch_robustness.victim",
    ),
    configs=(
        "robustness/drawn_signs.py",
        "robustness/lanes_road_patch.py",
        "robustness/signs_sticker.py",
        "robustness/signs_study.py",
        "robustness/signs_approach.py",
        "robustness/signs_hardened.py",
        "robustness/crowd_poster.py",
        "robustness/lanes_drive_patch.py",
        "robustness/lidar_cells.py",
        "robustness/lidar_board.py",
    ),
    bench=("perception.plugins.patch_robustness.bench",),
    parity={"reap": "perception.plugins.patch_robustness.parity:run"},
)
