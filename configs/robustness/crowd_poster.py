"""A poster in front of a crowd against the shipped counting network: more people than there are."""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.crowd_counting.attack_target"], allow_failed_imports=False)

target = dict(
    type="CrowdCountingTarget", config="crowd_counting/crowd_light_sim.py", weights="crowd_light_sim.safetensors"
)
attack = dict(
    goal="count_up", method="adam", steps=100, step_size=0.05, batch=2, size="", eot=dict(jitter=0.1, noise=0.02)
)
crowds = dict(type="SimulatedCrowds", size=(512, 384), share=0.04)
craft_data = dict(crowds, count=16, seed=400_000)
eval_data = dict(crowds, count=40, seed=950_000)
seeds = (0, 1, 2)
threshold = 0.5
