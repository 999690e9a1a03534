"""What is said where mmcv's compiled extension is really needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from perception.errors import PerceptionError

__all__ = ["MissingOperatorError", "missing_operator"]


class MissingOperatorError(PerceptionError, NotImplementedError):
    """An operator of mmcv that only its compiled extension has.

    Attributes:
        operator: Its name in ``mmcv._ext``.
    """

    def __init__(self, operator: str) -> None:
        self.operator = operator
        super().__init__(
            f"mmcv operator {operator!r} needs mmcv's compiled extension (mmcv._ext), which is not installed. "
            "Build it for the installed torch (needs a C++ compiler, for GPUs also the CUDA toolkit): "
            "pip install --no-deps --force-reinstall --no-cache-dir --no-build-isolation "
            "--no-binary onedl-mmcv onedl-mmcv"
        )


def missing_operator(name: str) -> Callable[..., NoReturn]:
    """A function that raises :class:`MissingOperatorError` for ``name``; the ``__getattr__`` of the supplied module."""
    if name.startswith("_"):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")

    def operator(*args: object, **kwargs: object) -> NoReturn:
        raise MissingOperatorError(name)

    operator.__name__ = name
    return operator
