"""Returns added in a budget of cells against the shipped LiDAR networks: vehicles are no longer called so."""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.lidar_bev.attack_scenes"], allow_failed_imports=False)

model = "lidar_bev/ppn_tiny_sim.py"
target = dict(type="LidarBevTarget", config=model, weights="ppn_tiny_sim.safetensors")
attack = dict(kind="cells", goal="hide", scope="per_instance", steps=10, cells=40, points=2, heights=(0.5, 2.5))
sweeps = dict(type="SimulatedSweeps", config=model, towns=2, frames=20, stride=6)
craft_data = dict(sweeps, seed=950_000)
eval_data = dict(sweeps, seed=950_000)  # an attacker who sees the scene: each placement is for one moment
seeds = (0,)
threshold = 0.5
corruptions = dict(kinds=("lidar_dropout", "lidar_lag"), severities=(2, 4))
