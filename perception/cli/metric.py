"""``perception metric crowd|culane|tusimple|openlanev2 PRED GT``: score result files with the official metric."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from perception.metrics import crowd_files, culane, openlanev2, tusimple

HELP = "score anybody's result files"


class _Metric(NamedTuple):
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a metric."""
    metrics = parser.add_subparsers(dest="metric", required=True, metavar="|".join(METRICS))
    for name, metric in METRICS.items():
        command = metrics.add_parser(name, help=metric.help, description=metric.help)
        metric.add_arguments(command)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the scores to FILE")


def run(args: argparse.Namespace) -> int:
    """Score, print a table and write the JSON file if asked for; returns 0."""
    report = {**METRICS[args.metric].run(args), "metric": args.metric}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, found {text!r}")
    return int(width), int(height)


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text!r}")
    return value


def _line_width(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number of pixels from 1 to 1000, found {text!r}")
    return int(text)


def _add_culane(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pred", type=Path, metavar="PRED", help="folder of predicted .lines.txt files")
    parser.add_argument("gt", type=Path, metavar="GT", help="folder of true .lines.txt files (the CULane root)")
    parser.add_argument(
        "--list", type=Path, nargs="+", metavar="F", help="image lists, one category each; default GT/list"
    )
    parser.add_argument("--iou", type=_threshold, nargs="+", default=[0.5], metavar="T", help="IoU thresholds (0.5)")
    parser.add_argument("--mean", action="store_true", help="also print mF1, the mean over IoU 0.50, 0.55, ... 0.95")
    parser.add_argument(
        "--width", type=_line_width, default=culane.WIDTH, help="thickness of a drawn lane in pixels (30)"
    )
    parser.add_argument("--size", type=_size, default=culane.SIZE, metavar="WxH", help="size of the images (1640x590)")


def _run_culane(args: argparse.Namespace) -> dict[str, Any]:
    lists = {culane.list_name(path): culane.read_list(path) for path in args.list} if args.list else None
    ious = [*args.iou, *(iou for iou in culane.MEAN_IOUS if args.mean and iou not in args.iou)]
    report = culane.evaluate_folders(args.pred, args.gt, lists, ious, args.width, args.size)
    for iou, rows in report.items():
        if iou not in args.iou:
            continue
        print(f"CULane, IoU > {iou:g}")
        print(f"{'category':<12} {'images':>7} {'tp':>7} {'fp':>7} {'fn':>7} {'precision':>10} {'recall':>8} {'F1':>8}")
        for name, row in rows.items():
            counts = f"{row.images:>7} {row.tp:>7} {row.fp:>7} {row.fn:>7}"
            print(f"{name:<12} {counts} {row.precision:>10.4f} {row.recall:>8.4f} {100 * row.f1:>8.2f}")
    mean = {}
    if args.mean:
        mean = {name: sum(report[iou][name].f1 for iou in culane.MEAN_IOUS) / 10 for name in report[ious[0]]}
        print(
            "\n".join(["mF1, IoU 0.50 to 0.95", *(f"{name:<12} {100 * value:>8.2f}" for name, value in mean.items())])
        )
    report_json = {"width": args.width, "size": list(args.size), "iou": culane.report_to_dict(report)}
    return {**report_json, **({"mF1": mean} if args.mean else {})}


def _add_tusimple(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pred", type=Path, metavar="PRED", help="predictions, one JSON record a line")
    parser.add_argument("gt", type=Path, metavar="GT", help="ground truth, one JSON record a line")


def _run_tusimple(args: argparse.Namespace) -> dict[str, Any]:
    scores = tusimple.evaluate_files(args.pred, args.gt)
    print(f"{'frames':>7} {'accuracy':>9} {'FP':>8} {'FN':>8} {'F1':>8}")
    rates = f"{100 * scores.accuracy:>9.2f} {100 * scores.fp:>8.2f} {100 * scores.fn:>8.2f} {100 * scores.f1:>8.2f}"
    print(f"{scores.frames:>7} {rates}")
    return asdict(scores)


def _add_crowd(parser: argparse.ArgumentParser) -> None:
    form = 'JSON {"images": [{"image": name, "points": [[x, y], ...]}]}, or CSV with image,x,y'
    parser.add_argument("pred", type=Path, metavar="PRED", help=f"{form}; or CSV with image,count")
    parser.add_argument("gt", type=Path, metavar="GT", help=f"{form}; sizes of the pictures (size) are for GAME")
    parser.add_argument("--radius", type=float, default=8.0, metavar="PX", help="reach of a correct position (8 px)")


def _run_crowd(args: argparse.Namespace) -> dict[str, Any]:
    scores = crowd_files.evaluate_files(args.pred, args.gt, args.radius)
    for name, value in scores.items():
        print(f"{name:<10} {value:>10.4f}" if isinstance(value, float) else f"{name:<10} {value:>10}")
    return scores


def _add_openlanev2(parser: argparse.ArgumentParser) -> None:
    forms = "json or (--trust) pkl file, split list, or folder <split>/<segment>/info/<timestamp>[-ls].json"
    parser.add_argument("pred", type=Path, metavar="PRED", help=f"predictions: {forms}")
    parser.add_argument("gt", type=Path, metavar="GT", help=f"ground truth: {forms}")
    parser.add_argument(
        "--version", default="v2.1", choices=list(openlanev2.VERSIONS), help="release whose definition to use (v2.1)"
    )
    parser.add_argument(
        "--track", choices=openlanev2.TRACKS, help="which frames of a folder; default centerline where there are any"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="frames to score side by side (1)")
    parser.add_argument(
        "--trust", action="store_true", help="open pickles (result files, collections) whose origin you trust"
    )
    parser.add_argument(
        "--worst", type=int, default=0, metavar="N", help="also score every frame alone and print the N worst"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write scores by class and frame, curves, and the worst frames drawn"
    )
    lanesegnet_help = "prepare raw truth as LaneSegNet's own evaluator does (crossings as two edges)"
    parser.add_argument("--lanesegnet", action="store_true", help=lanesegnet_help)
    parser.add_argument("--pictures", type=Path, metavar="ROOT", help="root of the camera pictures (GT's folder)")


def _run_openlanev2(args: argparse.Namespace) -> dict[str, Any]:
    report = openlanev2.evaluate_paths(
        args.pred,
        args.gt,
        args.version,
        args.track,
        args.threads,
        per_frame=args.worst > 0,
        trust=args.trust,
        out=args.out,
        lanesegnet=args.lanesegnet,
    )
    print(f"OpenLane-V2 {report['version']}, {report['track']}, {report['frames']} frames")
    for group in ("lanesegnet",) if args.lanesegnet else ("scores", "lanesegnet", "extra"):
        for name, value in report.get(group, {}).items():
            print(f"{name:<14} {'-' if value is None else f'{value:.6f}'}")
    for row in report.get("per_frame", [])[: args.worst]:
        values = ", ".join(f"{name} {value:.4f}" for name, value in row.items() if isinstance(value, float))
        print(f"{row['frame']}: {values}")
    if args.out:
        from perception.datasets.openlanev2.report import draw_pairs

        names = [row["frame"] for row in report["per_frame"][: args.worst or 12]]
        folder = args.out / "worst"
        drawn = draw_pairs(args.pred, args.gt, names, folder, report["track"], args.trust, args.pictures)
        print(f"wrote scores, classes, frames and curves to {args.out}, {len(drawn)} pictures to {folder}")
    return report


METRICS: dict[str, _Metric] = {
    "crowd": _Metric("MAE, RMSE, NAE, GAME of counts, and how many positions are right", _add_crowd, _run_crowd),
    "culane": _Metric("CULane F1, as the official tool computes it", _add_culane, _run_culane),
    "openlanev2": _Metric(
        "OpenLane-V2 scores of both tracks, as the official evaluator computes them", _add_openlanev2, _run_openlanev2
    ),
    "tusimple": _Metric(
        "TuSimple accuracy, FP and FN, as the official script computes them", _add_tusimple, _run_tusimple
    ),
}
