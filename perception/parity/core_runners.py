"""Families whose golden cases the core itself can run; what a plugin declares for a family takes precedence."""

RUNNERS: dict[str, str] = {
    "openlanev2": "perception.metrics.openlanev2.parity:run",
}
"""Family -> ``"module:function"``, as in ``PluginSpec.parity``."""
