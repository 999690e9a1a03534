"""A first try without data: drawn signs and a detector of random weights. It shows the machinery, not an attack."""

default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.object_detection.components"], allow_failed_imports=False)

target = dict(type="ObjectDetectionTarget", config="object_detection/signs_tiny_sim.py")
attack = dict(goal="hide", method="pgd", steps=4, step_size=0.05, batch=2, width=32)
signs = dict(type="DrawnSigns", size=(160, 128))
craft_data = dict(signs, count=2, seed=0)
eval_data = dict(signs, count=2, seed=1000)
threshold = 0.01
