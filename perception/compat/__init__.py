"""Makes the dependencies importable on a plain pip installation, without a compiler or system libraries.

``import perception`` installs two import finders; they import nothing themselves:

* ``mmcv._ext``: mmcv's compiled operators. Where they are missing, a module of that name is supplied, built on
  torchvision and torch (:mod:`perception.compat.mmcv_ops`). A real compiled module always wins.
* ``open3d``: needs ``libusb-1.0``, which slim systems lack; the copy of the package ``libusb-package`` is
  loaded first.
"""

from __future__ import annotations

import sys

from perception.compat.finders import MmcvExtensionFinder, Open3dFinder

__all__ = ["install"]


def install() -> None:
    """Install the import finders; cheap and idempotent."""
    if not any(isinstance(finder, Open3dFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Open3dFinder())  # first: it only prepares, and leaves the search to the others
    if not any(isinstance(finder, MmcvExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.append(MmcvExtensionFinder())  # last: asked only when nobody has a real mmcv._ext
