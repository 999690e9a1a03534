"""Maps the readable top-level folders into the one installed package `perception`; metadata lives in pyproject.toml."""

from setuptools import find_namespace_packages, find_packages, setup

MAPPED = {
    "perception.plugins": "plugins",
    "perception.sim": "sim",
    "perception.configs": "configs",
    "perception.weights": "weights",
}

packages = find_packages(include=["perception", "perception.*"])
for name, folder in MAPPED.items():
    packages += [name] + [f"{name}.{sub}" for sub in find_namespace_packages(folder, exclude=["*__pycache__*"])]

DATA = ["*.md", "*.yml", "*.yaml", "*.json", "*.html", "*.css", "*.png", "*.safetensors", "py.typed"]
setup(packages=packages, package_dir=dict(MAPPED), package_data={"": DATA})
