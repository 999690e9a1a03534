"""The console command ``perception``; each sub-command is a module here with ``HELP, add_arguments, run``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from perception.errors import PerceptionError, UnknownNameError
from perception.version import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "simulate a short drive, run the lane pipeline on it, score it",
    "doctor": "what is installed, which devices, what is missing and how to get it",
    "plugins": "what is registered: inputs, outputs, configs, weights",
    "info": "what is in a recorded drive",
    "run": "run a pipeline on recorded drives",
    "report": "what changed between two runs",
    "simulate": "make drives and datasets with ground truth",
    "data": "check, index or measure a dataset on disk",
    "train": "train a model from a config",
    "test": "evaluate a checkpoint, or predictions that were saved",
    "browse": "samples with truth drawn on them",
    "analyze": "compare runs, find the worst samples, tell what models cost",
    "weights": "published and shipped weights: where they come from, what they must hold",
    "convert": "published checkpoint -> ours",
    "metric": "score anybody's result files",
    "attack": "what patches do to a model: craft, evaluate, place, report",
    "parity": "compare with golden outputs of the original implementations",
    "bench": "side-by-side timing ratios",
}
"""Command -> help line; the module ``perception.cli.<command>`` is imported only when it is used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for errors of use or input)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    name = next((arg for arg in argv if not arg.startswith("-")), None)
    try:
        if name is not None and argv[0] == name:
            if name not in COMMANDS:
                raise UnknownNameError("command", name, COMMANDS)
            return _run(name, argv[1:])
        _overview().parse_args(argv)
        _overview().print_help()
        return 0
    except PerceptionError as error:
        print(f"perception: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # e.g. `perception plugins | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file without permission, a disk that fails: nothing a traceback would explain better
        print(f"perception: {error.filename or name}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(name: str, argv: list[str]) -> int:
    module = importlib.import_module(f"perception.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"perception {name}", description=module.HELP)
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(argv)) or 0)


def _overview() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="perception",
        description="A plugin-based perception stack for autonomous driving.",
        epilog=f"commands:\n{lines}\n\n`perception COMMAND --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"perception-stack {__version__}")
    return parser
