"""Child registries of mmengine in the scope ``perception``; every plugin registers its components here.

mmengine resolves ``perception.<Name>`` by importing this module, so it stays light. Names are unique across plugins:
prefix them with the method (``GANetHead``, not ``Head``).
"""

from typing import Any

from mmengine import registry as _mm

__all__ = ["DATASETS", "HOOKS", "METRICS", "MODELS", "SINKS", "SOURCES", "STAGES", "TRANSFORMS"]

SCOPE = "perception"


class _Registry(_mm.Registry):
    """Builds in our scope, whatever the process's default one is: others, mmdet for one, set it to theirs."""

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        with _mm.DefaultScope.overwrite_default_scope(SCOPE):
            return super().build(cfg, *args, **kwargs)


def _child(parent: _mm.Registry) -> _mm.Registry:
    return _Registry(parent.name, parent=parent, scope=SCOPE)


DATASETS = _child(_mm.DATASETS)
HOOKS = _child(_mm.HOOKS)
METRICS = _child(_mm.METRICS)
MODELS = _child(_mm.MODELS)
TRANSFORMS = _child(_mm.TRANSFORMS)
STAGES = _Registry("stage", scope=SCOPE)
SOURCES = _Registry("source", scope=SCOPE)
SINKS = _Registry("sink", scope=SCOPE)

# The rest of a Runner looks its parts up in our scope too, and would warn if a registry had no child there.
_OTHERS = [
    _child(parent)
    for parent in (
        _mm.DATA_SAMPLERS,
        _mm.EVALUATOR,
        _mm.FUNCTIONS,
        _mm.LOG_PROCESSORS,
        _mm.LOOPS,
        _mm.MODEL_WRAPPERS,
        _mm.OPTIM_WRAPPER_CONSTRUCTORS,
        _mm.OPTIM_WRAPPERS,
        _mm.OPTIMIZERS,
        _mm.PARAM_SCHEDULERS,
        _mm.RUNNER_CONSTRUCTORS,
        _mm.RUNNERS,
        _mm.TASK_UTILS,
        _mm.VISBACKENDS,
        _mm.VISUALIZERS,
        _mm.WEIGHT_INITIALIZERS,
    )
]
