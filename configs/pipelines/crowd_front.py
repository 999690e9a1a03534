"""People in the front camera: count, density and heads, with the weights that come along (trained in the simulator)."""

pipeline = dict(
    name="crowd_front",
    stages=[
        dict(
            name="crowd",
            type="CrowdCountingStage",
            plugin="crowd_counting",
            config="crowd_counting/crowd_light_sim.py",
            weights="crowd_light_sim.safetensors",
            camera="front",
        ),
    ],
    sinks=["jsonl", "video", "mcap"],
)
