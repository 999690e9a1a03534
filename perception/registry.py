"""Child registries of mmengine in the scope ``perception``; every plugin registers its components here.

mmengine resolves ``perception.<Name>`` by importing this module, so it stays light. Names are unique across plugins:
prefix them with the method (``GANetHead``, not ``Head``).
"""

from mmengine import registry as _mm

__all__ = ["DATASETS", "HOOKS", "METRICS", "MODELS", "SINKS", "SOURCES", "STAGES", "TRANSFORMS"]

SCOPE = "perception"

MODELS = _mm.Registry("model", parent=_mm.MODELS, scope=SCOPE)
DATASETS = _mm.Registry("dataset", parent=_mm.DATASETS, scope=SCOPE)
TRANSFORMS = _mm.Registry("transform", parent=_mm.TRANSFORMS, scope=SCOPE)
METRICS = _mm.Registry("metric", parent=_mm.METRICS, scope=SCOPE)
HOOKS = _mm.Registry("hook", parent=_mm.HOOKS, scope=SCOPE)
STAGES = _mm.Registry("stage", scope=SCOPE)
SOURCES = _mm.Registry("source", scope=SCOPE)
SINKS = _mm.Registry("sink", scope=SCOPE)
