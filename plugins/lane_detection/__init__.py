"""GANet: lanes in the front camera as chains of keypoints (CVPR 2022, arXiv 2204.07335)."""

from perception.plugin import PluginSpec

_CONFIGS = [
    f"ganet_{size}_{data}" for data in ("culane", "tusimple", "curvelanes") for size in ("small", "medium", "large")
]

PLUGIN = PluginSpec(
    name="lane_detection",
    task="2-D lane detection",
    summary="GANet: keypoints of lanes, grouped by the start point each of them predicts",
    result="lanes_2d",
    sensors=("camera:front",),
    modules=("perception.plugins.lane_detection.components",),
    configs=tuple(f"lane_detection/{name}.py" for name in ["ganet_tiny_sim", "ganet_tiny_own", *_CONFIGS]),
    weights=("ganet_tiny_sim.safetensors",),
    bench=("perception.plugins.lane_detection.bench",),
    capabilities=frozenset({"DifferentiableFromImage", "AttackTarget"}),
    parity={
        "ganet": "perception.plugins.lane_detection.parity:run",
        "ganet-metrics": "perception.plugins.lane_detection.parity_metrics:run",
    },
    datasets={
        "culane": "perception.plugins.lane_detection.data_tools:CULaneTool",
        "tusimple": "perception.plugins.lane_detection.data_tools:TuSimpleTool",
        "curvelanes": "perception.plugins.lane_detection.data_tools:CurveLanesTool",
        "own_lanes": "perception.plugins.lane_detection.data_tools:OwnLanesTool",
    },
)
