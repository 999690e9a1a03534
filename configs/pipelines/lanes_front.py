"""2-D lanes in the front camera, with the weights that come along (trained in the simulator)."""

pipeline = dict(
    name="lanes_front",
    stages=[
        dict(
            name="lanes",
            type="LaneDetectionStage",
            plugin="lane_detection",
            config="lane_detection/ganet_tiny_sim.py",
            weights="ganet_tiny_sim.safetensors",
            camera="front",
        ),
    ],
    sinks=["jsonl", "video", "mcap"],
)
