"""Bird's-eye-view classes and future occupancy from LiDAR and poses, with the weights that come along."""

pipeline = dict(
    name="lidar_bev",
    stages=[
        dict(
            name="bev",
            type="LidarBevStage",
            plugin="lidar_bev",
            config="lidar_bev/ppn_tiny_sim.py",
            weights="ppn_tiny_sim.safetensors",
            executor="auto",
        ),
    ],
    sinks=["jsonl", "mcap"],
)
