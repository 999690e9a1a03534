"""``perception attack``: craft patches, evaluate them with controls, place and print them."""

from __future__ import annotations

import argparse
from pathlib import Path

from perception.errors import PerceptionError

HELP = "what patches do to a model: craft, evaluate, place, report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="run|craft|eval|study|place|print|report")
    both = commands.add_parser("run", help="craft and evaluate in one go")
    both.add_argument("config", help="config of an attack, a shipped name or a path")
    both.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>)")
    both.add_argument("--seeds", type=int, nargs="+", help="one patch for each (default: those of the config)")
    both.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE")
    both.add_argument("--fail-above", metavar="asr=X", help="exit 1 when a patch is above it")
    craft = commands.add_parser("craft", help="make patches with a config")
    craft.add_argument("config", help="config of an attack, a shipped name or a path")
    craft.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>)")
    craft.add_argument("--seeds", type=int, nargs="+", help="one patch for each (default: those of the config)")
    craft.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE")
    craft.add_argument("--dpi", type=float, default=300.0, help="stored in the picture (default: 300)")
    measure = commands.add_parser("eval", help="evaluate patches beside clean images, a grey and a random patch")
    measure.add_argument("config")
    measure.add_argument("--patch", type=Path, nargs="+", required=True, help="folders that craft made")
    measure.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>/report)")
    measure.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE")
    measure.add_argument("--fail-above", metavar="asr=X", help="exit 1 when a patch is above it")
    study = commands.add_parser("study", help="victims against several renderings of patches, in one table")
    study.add_argument("config", help="config of a study, a shipped name or a path")
    study.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>)")
    study.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE")
    place = commands.add_parser("place", help="preview a patch that is fixed in the world in all frames of a drive")
    place.add_argument("drive")
    place.add_argument("--ahead", type=float, default=20.0, metavar="M")
    place.add_argument("--lateral", type=float, default=0.0, metavar="M", help="to the left")
    place.add_argument("--size", default="1x2", metavar="HxW", help="metres (default: 1x2)")
    place.add_argument("--on", choices=("road", "board"), default="road")
    place.add_argument("--camera", default="all", help="one camera (default: all)")
    place.add_argument("--patch", type=Path, help="folder that craft made (default: a grey patch)")
    place.add_argument("--frames", type=int, metavar="N", help="first frames only (default: all)")
    place.add_argument(
        "--occlusion", default="lidar", metavar="lidar|none|FOLDER", help="what hides it; FOLDER/<camera>/<frame>.png"
    )
    place.add_argument("--out", type=Path, default=Path("out/place"))
    printing = commands.add_parser("print", help="patches as pictures of their true size, to stick on a surface")
    printing.add_argument("folder", type=Path, help="what craft made")
    printing.add_argument("--on", required=True, metavar="SIGN|HxW", help="class of a sign, or metres of a rectangle")
    printing.add_argument("--dpi", type=float, default=300.0)
    printing.add_argument("--out", type=Path, help="folder (default: that of the patch)")
    report = commands.add_parser("report", help="one line for each report")
    report.add_argument("folders", type=Path, nargs="+")


def run(args: argparse.Namespace) -> int:
    """Do it; 1 when ``--fail-above`` says so."""
    from perception.plugins.patch_robustness import commands

    if args.action == "run":
        limit = _limit(args.fail_above) if args.fail_above else None
        return commands.run_attack(args.config, args.out, args.seeds, args.cfg_options, limit)
    if args.action == "craft":
        return commands.craft_patches(args.config, args.out, args.seeds, args.cfg_options, args.dpi)
    if args.action == "eval":
        limit = _limit(args.fail_above) if args.fail_above else None
        return commands.evaluate_patches(args.config, args.patch, args.out, args.cfg_options, limit)
    if args.action == "study":
        from perception.plugins.patch_robustness.study import study_command

        return study_command(args.config, args.out, args.cfg_options)
    if args.action == "place":
        size = _metres(args.size)
        spot = (args.ahead, args.lateral)
        from perception.plugins.patch_robustness.place_command import Placing, place_patch

        placing = Placing(spot, size, args.on, args.camera, args.patch, args.frames, args.occlusion)
        return place_patch(args.drive, placing, args.out)
    if args.action == "print":
        from perception.plugins.patch_robustness.printing import print_patches

        surface = _metres(args.on, "--on") if args.on[:1].isdigit() else args.on
        for path in print_patches(args.folder, surface, args.dpi, args.out):
            print(f"wrote {path}")
        return 0
    return commands.list_reports(args.folders)


def _limit(text: str) -> float:
    name, equals, value = text.partition("=")
    try:
        limit = float(value)
    except ValueError:
        limit = -1.0
    if name != "asr" or not equals or not 0 <= limit <= 1:
        raise PerceptionError(f"--fail-above: expected asr=0..1, found {text!r}")
    return limit


def _metres(text: str, option: str = "--size") -> tuple[float, float]:
    try:
        height, width = (float(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise PerceptionError(f"{option}: expected HxW in metres, found {text!r}") from error
    if not (height > 0 and width > 0):
        raise PerceptionError(f"{option}: expected positive metres, found {text!r}")
    return height, width
