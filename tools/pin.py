"""Rewrite ``constraints.txt`` from what is installed in the environment that runs this: ``python tools/pin.py``.

Pins every direct and indirect dependency of the project and its extras. Left out are the ``nvidia-*`` and ``cuda-*``
wheels and triton, which torch itself pins for the platforms that have them. A release that does not support every
version of Python that we do is pinned only where it can be installed, so that the others still find a set.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    sys.exit("tools/pin.py needs Python >= 3.11 (tomllib)")

ROOT = Path(__file__).resolve().parent.parent
PLATFORM_SPECIFIC = ("nvidia-", "cuda-", "triton")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
HEADER = """\
# One tested set of versions; `make` installs with `pip install -c constraints.txt`. Rewritten by tools/pin.py.
"""


def requirements(project: dict) -> Iterator[Requirement]:
    """All requirements that the project itself states."""
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for group in groups:
        yield from map(Requirement, group)


def installed(wanted: list[Requirement]) -> dict[str, str]:
    """Name -> constraint line of everything installed that is reachable from ``wanted``."""
    lines: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed here, or another platform's
        if not name.startswith(PLATFORM_SPECIFIC):
            lines[name] = f"{name}=={found.version}{_marker(found.metadata.get('Requires-Python'))}"
        for text in found.requires or ():
            child = Requirement(text)
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                wanted.append(child)
    return lines


def _marker(requires_python: str | None) -> str:
    supported = [python for python in PYTHONS if SpecifierSet(requires_python or "").contains(f"{python}.99")]
    if supported == list(PYTHONS) or not supported:
        return ""
    lowest, highest = supported[0], supported[-1]
    bounds = [f'python_version >= "{lowest}"'] if lowest != PYTHONS[0] else []
    bounds += [f'python_version <= "{highest}"'] if highest != PYTHONS[-1] else []
    return f" ; {' and '.join(bounds)}"


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = installed(list(requirements(project)))
    (ROOT / "constraints.txt").write_text(HEADER + "".join(f"{lines[name]}\n" for name in sorted(lines)))
    print(f"constraints.txt: {len(lines)} pins")
