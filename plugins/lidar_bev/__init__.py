"""Parallel Perception Network: bird's-eye-view semantics and future occupancy from LiDAR (arXiv 2412.18165)."""

from perception.plugin import PluginSpec

PLUGIN = PluginSpec(
    name="lidar_bev",
    task="bird's-eye-view semantics and future occupancy",
    summary="PPN: two networks on LiDAR sweeps that share nothing and run side by side",
    result="bev_grid",
    sensors=("lidar", "pose"),
    modules=("perception.plugins.lidar_bev.components",),
    configs=tuple(
        f"lidar_bev/ppn_{name}.py" for name in ("tiny_sim", "full", "published", "published_segnet", "published_recnet")
    ),
    weights=("ppn_tiny_sim.safetensors",),
    bench=("perception.plugins.lidar_bev.bench",),
    capabilities=frozenset({"AttackTarget"}),
    parity={"ppn_crowd": "perception.plugins.lidar_bev.parity:run"},
)
