"""Base of all results: they know their coordinate frame, turn into json and back, and can be drawn."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.camera import Camera

__all__ = ["Result", "decode_array", "encode_array", "result_from_dict"]

_KINDS: dict[str, type[Result]] = {}
R = TypeVar("R", bound="Result")


class Result:
    """Common behaviour of the frozen result dataclasses, one per task.

    Every subclass sets ``KIND`` and has a field ``frame_id``: the camera whose pixels it is in, or ``"ego"``.
    """

    KIND: ClassVar[str] = ""
    frame_id: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.KIND in _KINDS and _KINDS[cls.KIND].__qualname__ != cls.__qualname__:
            raise PerceptionError(f"result kind {cls.KIND!r} is taken by {_KINDS[cls.KIND].__name__}")
        _KINDS[cls.KIND] = cls

    def to_dict(self) -> dict[str, Any]:
        """Json-able form with the key ``kind``; :func:`result_from_dict` reads it back without loss."""
        out: dict[str, Any] = {"kind": self.KIND}
        for field in fields(self):  # type: ignore[arg-type]
            out[field.name] = _to_json(getattr(self, field.name))
        return out

    @classmethod
    def from_dict(cls: type[R], data: Mapping[str, Any]) -> R:
        """Inverse of :meth:`to_dict`; unknown and missing keys are errors that name them."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        given = set(data) - {"kind"}
        if given != known:
            missing, extra = sorted(known - given), sorted(given - known)
            raise PerceptionError(f"{cls.__name__}: missing keys {missing}, unexpected keys {extra}")
        return cls(**{key: _from_json(value) for key, value in data.items() if key != "kind"})

    def arrays(self) -> dict[str, np.ndarray]:
        """All numeric arrays by field name (``lanes[0]`` for members of tuples), for checks such as finiteness."""
        found: dict[str, np.ndarray] = {}
        for field in fields(self):  # type: ignore[arg-type]
            _collect(field.name, getattr(self, field.name), found)
        return found

    def draw(self, image: np.ndarray, camera: Camera | None = None) -> np.ndarray:
        """Draw on a copy of an (H, W, 3) uint8 RGB image; results in the ego frame need the ``camera``."""
        from perception.viz import draw_result

        return draw_result(image, self, camera)


def result_from_dict(data: Mapping[str, Any]) -> Result:
    """Read any result from its json form.

    Raises:
        UnknownNameError: ``kind`` is not one of the known kinds.
        PerceptionError: Keys or shapes are wrong.
    """
    kind = str(data.get("kind", ""))
    if kind not in _KINDS or not kind:
        raise UnknownNameError("result kind", kind, [name for name in _KINDS if name])
    return _KINDS[kind].from_dict(data)


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """A dense array as ``{"dtype", "shape", "base64"}``, little endian, C order."""
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": data.dtype.str, "shape": list(data.shape), "base64": base64.b64encode(data.tobytes()).decode()}


def decode_array(data: Mapping[str, Any]) -> np.ndarray:
    """Inverse of :func:`encode_array`."""
    dtype = np.dtype(str(data["dtype"]))
    if dtype.hasobject:
        raise PerceptionError(f"array: expected a numeric dtype, found {data['dtype']!r}")
    return np.frombuffer(base64.b64decode(data["base64"]), dtype=dtype).reshape(data["shape"])


def _to_json(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        if value.size > 4096:
            return encode_array(value)
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        # arrays of a mapping have no declared dtype to come back to, so they always carry it
        return {str(k): encode_array(v) if isinstance(v, np.ndarray) else _to_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"dtype", "shape", "base64"}:
            return decode_array(value)
        if "kind" in value:
            return result_from_dict(value)
        return {key: _from_json(item) for key, item in value.items()}
    return value


def _collect(name: str, value: Any, found: dict[str, np.ndarray]) -> None:
    if isinstance(value, Result):
        found.update({f"{name}.{key}": array for key, array in value.arrays().items()})
    elif isinstance(value, np.ndarray):
        found[name] = value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, found)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            if isinstance(item, (np.ndarray, Result)):
                _collect(f"{name}[{i}]", item, found)
