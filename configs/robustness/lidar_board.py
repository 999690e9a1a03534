"""A board of 1 x 2 m on the road ahead, ray-cast, against the shipped LiDAR networks: where does it hide most?"""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.lidar_bev.attack_scenes"], allow_failed_imports=False)

model = "lidar_bev/ppn_tiny_sim.py"
target = dict(type="LidarBevTarget", config=model, weights="ppn_tiny_sim.safetensors")
attack = dict(kind="board", goal="hide", steps=40, size_m=(1.0, 2.0), below=0.3, region=(5.0, -6.0, 15.0, 6.0), batch=6)
sweeps = dict(type="SimulatedSweeps", config=model, frames=20, stride=6)
craft_data = dict(sweeps, towns=2, seed=400_000)
eval_data = dict(sweeps, towns=2, seed=950_000)
seeds = (0, 1, 2)
threshold = 0.5
corruptions = dict(kinds=("lidar_dropout", "lidar_lag"), severities=(2, 4))
