"""Child registries of mmengine in the scope ``perception``; every plugin registers its components here.

mmengine resolves ``perception.<Name>`` by importing this module, so it stays light. Names are unique across plugins:
prefix them with the method (``GANetHead``, not ``Head``).
"""

from mmengine import registry as _mm

__all__ = ["DATASETS", "HOOKS", "METRICS", "MODELS", "SINKS", "SOURCES", "STAGES", "TRANSFORMS"]

SCOPE = "perception"


def _child(parent: _mm.Registry) -> _mm.Registry:
    return _mm.Registry(parent.name, parent=parent, scope=SCOPE)


DATASETS = _child(_mm.DATASETS)
HOOKS = _child(_mm.HOOKS)
METRICS = _child(_mm.METRICS)
MODELS = _child(_mm.MODELS)
TRANSFORMS = _child(_mm.TRANSFORMS)
STAGES = _mm.Registry("stage", scope=SCOPE)
SOURCES = _mm.Registry("source", scope=SCOPE)
SINKS = _mm.Registry("sink", scope=SCOPE)

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
