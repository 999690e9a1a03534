"""Settings of configs as dataclasses, with an error that names what is not one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["read_settings"]

T = TypeVar("T")


def read_settings(kind: type[T], options: Mapping[str, Any], what: str) -> T:
    """An instance of a dataclass from the options of a config.

    Args:
        kind: The dataclass.
        options: Name -> value.
        what: What they are settings of, for errors.

    Raises:
        UnknownNameError: A name that is no field of it; suggests close ones.
        PerceptionError: A value of a wrong type.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            raise UnknownNameError(f"setting of {what}", str(name), known)
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise PerceptionError(f"{what}: a setting of a wrong type: {error}") from error
