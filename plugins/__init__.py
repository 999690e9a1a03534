"""The plugins of this repository; each sub-package with a ``PLUGIN`` is found by ``perception.plugin``."""
