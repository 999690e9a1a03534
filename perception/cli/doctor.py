"""``perception doctor``: what is installed, which devices there are, what is missing and how to get it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

from perception.compat.finders import MMCV_EXTENSION, preload_libusb
from perception.version import __version__

HELP = (
    "Show what is installed, which devices there are, what is missing and how to get it. Exit code 1: the core fails."
)

DISTRIBUTION = "perception-stack"
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "viz": {"rerun": "rerun-sdk>=0.41,<0.50"},
    "arrow": {"pyarrow": "pyarrow>=15"},
    "ray": {"ray": "ray>=2.40"},
    "export": {"onnx": "onnx>=1.16", "onnxruntime": "onnxruntime>=1.18"},
    "cuda": {"numba_cuda": "numba-cuda[cu13]>=0.20"},
    "drives": {
        "pyarrow": "pyarrow>=15",
        "velodyne_decoder": "velodyne-decoder>=3.1",
        "kiss_icp": "kiss-icp>=1.2",
        "aiohttp": "fsspec[http]>=2024.6",
    },
    "s3": {"s3fs": "s3fs>=2024.6"},
    "dev": {"pytest": "pytest>=8", "ruff": "ruff>=0.9", "mypy": "mypy>=1.14", "build": "build>=1.2"},
}
"""Extra -> modules that show that it is installed, each with the requirement that brings it."""
CORE_MODULES = (
    "numpy",
    "scipy",
    "safetensors",
    "yaml",
    "rosbags",
    "mcap",
    "foxglove",
    "matplotlib",
    "rich",
    "zstandard",
)
SYSTEM_LIBRARIES = {
    "libusb-1.0.so": "pip install libusb-package",
    "libGL.so": "apt-get install libgl1 (or the package of your system that has libGL.so.1)",
    "libEGL.so": "apt-get install libegl1 (or the package of your system that has libEGL.so.1)",
    "libX11.so": "apt-get install libx11-6 (or the package of your system that has libX11.so.6)",
    "libgomp.so": "apt-get install libgomp1 (or the package of your system that has libgomp.so.1)",
    "libudev.so": "apt-get install libudev1 (or the package of your system that has libudev.so.1)",
}
"""Part of an import error -> what to do about it."""
REINSTALL = "install the project with its dependencies again: in a checkout `pip install -e . -c constraints.txt`"
HEADLESS_FIX = "pip install --force-reinstall --no-deps opencv-python-headless"
MARKS = {"ok": "ok  ", "missing": "-   ", "warning": "warn", "failed": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was looked at.
        status: ``ok``, ``missing`` (optional), ``warning`` (works, with limits) or ``failed`` (the core does not work).
        text: What was found.
        fix: What to do, empty when there is nothing to do.
    """

    name: str
    status: str
    text: str
    fix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Print the report; returns 1 when the core does not work."""
    with contextlib.redirect_stdout(sys.stderr):  # some packages print when they are imported
        findings = examine()
    works = all(finding.status != "failed" for finding in findings)
    if args.json:
        print(json.dumps({"works": works, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return 0 if works else 1
    for finding in findings:
        print(f"{MARKS[finding.status]}  {finding.name:<14} {finding.text}")
        if finding.fix:
            print(f"{'':<21}-> {finding.fix}")
    print("\nThe core works." if works else "\nThe core does not work: see the lines marked FAIL.")
    return 0 if works else 1


def examine() -> list[Finding]:
    """Every finding, in the order of the report. A check that fails unexpectedly is a finding, too."""
    findings: list[Finding] = []
    for check in CHECKS:
        name = check.__name__.lstrip("_").replace("_", " ")
        try:
            findings += check()
        except Exception as error:
            findings.append(Finding(name, "failed", f"{type(error).__name__}: {error}", library_fix(str(error))))
    return findings


def library_fix(message: str) -> str:
    """What to do about an import error that names a system library; empty when the message names none we know."""
    return next((fix for library, fix in SYSTEM_LIBRARIES.items() if library in message), "")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _import(module: str, name: str = "", fix: str = "") -> tuple[object | None, Finding]:
    """The module or None, with a finding that is ``failed`` when it cannot be imported."""
    name = name or module
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return None, Finding(name, "failed", str(error), fix or REINSTALL)
    except Exception as error:  # a broken binary raises whatever it likes
        return None, Finding(name, "failed", f"{type(error).__name__}: {error}", library_fix(str(error)) or fix)
    return loaded, Finding(name, "ok", str(getattr(loaded, "__version__", "") or _version(module) or "installed"))


def _perception() -> Iterator[Finding]:
    import perception

    place = os.path.dirname(os.path.dirname(os.path.abspath(perception.__file__)))
    how = f"installed as {DISTRIBUTION}" if _version(DISTRIBUTION) else "not installed, used from a checkout"
    yield Finding("perception", "ok", f"{__version__} in {place} ({how})")


def _python() -> Iterator[Finding]:
    enough = sys.version_info >= (3, 10)
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", "ok" if enough else "failed", text, "" if enough else "use Python 3.10 or newer")


def _torch() -> Iterator[Finding]:
    torch, finding = _import("torch")
    yield finding
    yield _import("torchvision")[1]
    if torch is None:
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0  # type: ignore[attr-defined]
    names = [torch.cuda.get_device_name(index) for index in range(count)]  # type: ignore[attr-defined]
    listed = "".join(f", cuda:{index} {name}" for index, name in enumerate(names))
    yield Finding("devices", "ok", f"cpu ({_cores()} cores){listed}" + ("" if names else "; no CUDA device"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _opencv() -> Iterator[Finding]:
    both = _version("opencv-python") and _version("opencv-python-headless")
    why = (
        "opencv-python (asked for by mmcv) and opencv-python-headless share the folder cv2; the last one installed wins"
    )
    cv2, finding = _import("cv2", "opencv", HEADLESS_FIX)
    if cv2 is None:
        fix = HEADLESS_FIX if "libGL" in finding.text or "libgthread" in finding.text else finding.fix
        yield Finding("opencv", "failed", f"{finding.text} ({why})", fix)
    elif importlib.import_module("cv2.version").headless:
        yield Finding("opencv", "ok", f"{finding.text}, headless build")
    else:
        text = f"{finding.text}, build with a window system: it needs libGL.so.1, which slim containers lack"
        yield Finding("opencv", "warning", f"{text} ({why})" if both else text, HEADLESS_FIX)


def _open3d() -> Iterator[Finding]:
    libusb = preload_libusb()
    open3d, finding = _import("open3d")
    if open3d is None:
        yield finding
    else:
        source = {"system": "libusb of the system", None: "no libusb"}.get(libusb, "libusb of libusb-package")
        yield Finding("open3d", "ok", f"{finding.text}, {source}")


def _openmmlab() -> Iterator[Finding]:
    for module in ("mmengine", "mmcv", "mmdet"):
        yield _import(module)[1]
    spec = importlib.util.find_spec(MMCV_EXTENSION)
    if spec is not None and spec.origin != "perception.compat.mmcv_ops":
        yield Finding("mmcv operators", "ok", f"compiled: {spec.origin}")
        return
    from perception.compat.mmcv_ops import OPERATORS

    count = sum(name.endswith(("nms", "forward")) for name in OPERATORS)
    yield Finding("mmcv operators", "ok", f"supplied by perception ({count} operators; the others say what to install)")


def _core_modules() -> Iterator[Finding]:
    findings = [_import(module)[1] for module in CORE_MODULES]
    yield from (finding for finding in findings if finding.status != "ok")
    good = [f"{finding.name} {finding.text}" for finding in findings if finding.status == "ok"]
    yield Finding("core packages", "ok", ", ".join(good))


def _numba() -> Iterator[Finding]:
    numba, finding = _import("numba")
    if numba is None:
        yield finding
    else:
        yield Finding("numba", "ok", f"{finding.text}, {numba.config.NUMBA_NUM_THREADS} threads")  # type: ignore[attr-defined]


def _video() -> Iterator[Finding]:
    av, finding = _import("av", "video (av)")
    if av is None:
        yield finding
        return
    known = [name for name in ("h264", "hevc", "mjpeg", "ffv1", "av1") if name in av.codecs_available]  # type: ignore[attr-defined]
    tool = shutil.which("ffmpeg")
    yield Finding(
        "video (av)", "ok", f"{finding.text}, codecs {' '.join(known)}; ffmpeg: {tool or 'not found (not needed)'}"
    )


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        if absent:
            fix = f"pip install {' '.join(repr(modules[module]) for module in absent)}"
            yield Finding(f"extra {extra}", "missing", f"without {', '.join(absent)}", fix)
        else:
            yield Finding(f"extra {extra}", "ok", ", ".join(modules))


def _plugins() -> Iterator[Finding]:
    from perception import plugin

    index = plugin.discover()
    yield Finding("plugins", "ok", ", ".join(index.specs) or "none")
    for failure in index.failures:
        fix = f"perception plugins {failure.name}"
        yield Finding("plugins", "warning", f"{failure.name} ({failure.origin}) is skipped: {failure.reason}", fix)


def _memory() -> Iterator[Finding]:
    disk = shutil.disk_usage(os.getcwd()).free / 2**30
    text = f"{disk:.1f} GiB of disk free here"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        text = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB of RAM, {text}"
    yield Finding(
        "memory", "ok" if disk > 1 else "warning", text, "" if disk > 1 else "make room: results need disk space"
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _perception,
    _python,
    _torch,
    _opencv,
    _open3d,
    _openmmlab,
    _core_modules,
    _numba,
    _video,
    _plugins,
    _extras,
    _memory,
)
