"""How the C library deals with memory that is freed."""

from __future__ import annotations

import ctypes
from functools import lru_cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt
_SIZES = (1 << 30, 32 << 20)  # older versions refuse more than the second


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Have this process keep freed memory for what it allocates next, instead of giving it back to the system.

    A network allocates the same arrays for every frame. By default the large ones come fresh from the system each time,
    which clears them page by page: thousands of page faults a frame, up to a third of the time on virtual machines, and
    more where several workers do it at once. The process stays as large as it was at its largest.

    Returns:
        Whether the C library does so; only glibc's can be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    kept = any(mallopt(_MMAP_THRESHOLD, size) for size in _SIZES)
    return bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)) and kept
