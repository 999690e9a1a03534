"""A thin bridge to mmdet: any of its configs and checkpoints becomes a stage that gives ``Boxes2D``."""

from perception.plugin import PluginSpec

PLUGIN = PluginSpec(
    name="object_detection",
    task="2-D object detection",
    summary="any mmdet detector: signs, lights, vehicles as boxes in one camera",
    result="boxes_2d",
    sensors=("camera:front",),
    modules=("perception.plugins.object_detection.components",),
    configs=(
        "object_detection/signs_tiny_sim.py",
        "object_detection/faster_rcnn_r50_coco.py",
        "object_detection/deformable_detr_r50_coco.py",
        "object_detection/retinanet_r50_coco.py",
    ),
    weights=("signs_tiny_sim.safetensors",),
    capabilities=frozenset({"DifferentiableFromImage", "AttackTarget"}),
)
