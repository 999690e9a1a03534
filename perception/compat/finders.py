"""The import finders of :mod:`perception.compat`; standard library only, so that ``import perception`` stays cheap."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

__all__ = ["LIBUSB", "MMCV_EXTENSION", "MmcvExtensionFinder", "Open3dFinder", "preload_libusb"]

MMCV_EXTENSION = "mmcv._ext"
LIBUSB = "libusb-1.0.so.0"


class MmcvExtensionFinder(MetaPathFinder):
    """Supplies ``mmcv._ext``. Stands last in ``sys.meta_path``, so that a real module is found before it is asked."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for ``mmcv._ext`` and nothing else."""
        if fullname != MMCV_EXTENSION:
            return None
        return spec_from_loader(fullname, _MmcvExtensionLoader(), origin="perception.compat.mmcv_ops")


class _MmcvExtensionLoader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        operators = importlib.import_module("perception.compat.mmcv_ops")  # imports torch: only now
        module.__doc__ = operators.__doc__
        module.__dict__.update(operators.OPERATORS)
        module.__dict__["__getattr__"] = operators.missing_operator


class Open3dFinder(MetaPathFinder):
    """Loads libusb just before ``open3d`` is imported. Stands first in ``sys.meta_path`` and finds nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Prepare for ``open3d``; always return None, so that the usual finders go on."""
        if fullname == "open3d":
            preload_libusb()
        return None


def preload_libusb() -> str | None:
    """Make ``libusb-1.0`` available to libraries that are loaded later.

    Returns:
        ``"system"`` or the path of the packaged library that was loaded; None when there is neither (the import of
        open3d then fails and names the library; ``perception doctor`` says what to install) or no need (not Linux).
    """
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(OSError):
        ctypes.CDLL(LIBUSB, mode=ctypes.RTLD_GLOBAL)
        return "system"
    with contextlib.suppress(ImportError, OSError):
        package = importlib.import_module("libusb_package")
        found = package.get_library_path()
        if found is not None:
            ctypes.CDLL(str(found), mode=ctypes.RTLD_GLOBAL)
            return str(found)
    return None
