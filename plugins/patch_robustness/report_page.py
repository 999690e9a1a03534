"""The report of an evaluation as one HTML page that refers to nothing outside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perception.sinks.page import document, picture, table, text
from perception.structures import Boxes2D
from perception.viz import draw_result

from .evaluate import CONTROLS, ENOUGH, Evaluation

__all__ = ["facts", "percent", "report_page"]

_STYLE = """.bar{display:inline-block;height:.7em;background:var(--bad);border-radius:2px;margin-right:.4em}
h3{font-size:15px;margin:18px 0 8px}p{max-width:75ch}.pairs{display:grid;gap:12px;
grid-template-columns:repeat(auto-fill,minmax(min(380px,100%),1fr))}"""
_RATES = {"right": "true positive rate", "wrong class": "misclassification rate", "gone": "disappearance rate"}
"""What becomes of boxes, by the names of Armory."""
_SEEDS = 3
"""Fewer patches say little about an attack."""


def report_page(content: Mapping[str, Any], evaluation: Evaluation) -> str:
    """The page for what ``report.json`` holds and the pictures of an evaluation."""
    parts = [
        "<h1>What a patch does</h1>",
        f'<p class="soft">{text(content.get("config", ""))} &middot; {content.get("samples", "?")} samples '
        f"&middot; {content['instances']} instances</p>",
        *_notices(content),
        "<h2>Threat model</h2>",
        facts(content.get("threat_model", {}) | {"occlusion": content.get("occlusion", "not stated")}),
        "<h2>Result</h2>",
        *_defence(content.get("defence")),
        f"<p>{_meaning(content)}</p>",
        _main_table(content),
        *_boxes(content.get("boxes", {})),
        *_details(content),
        *_over_time(content),
        *_faults(content.get("corruptions")),
        *_transfer(content.get("transfer", {})),
        *_breakdowns(content),
        "<h2>Before and after</h2>",
        f'<div class="pairs">{"".join(_figures(evaluation))}</div>',
        "<h2>Made with</h2>",
        facts(_made_with(content)),
    ]
    return document("Patch report", parts, style=_STYLE)


def _made_with(content: Mapping[str, Any]) -> dict[str, Any]:
    """What each patch cost, and versions and digests."""
    costs = {
        name: f"{found['seconds']:.1f} s, {found['queries']} pictures shown to the victim"
        for name, found in content.get("crafting", {}).items()
    }
    keys = ("version", "torch", "config_sha256", "victim_sha256")
    return costs | {key: content[key] for key in keys if key in content}


def percent(rate: Mapping[str, Any]) -> str:
    """A rate with its interval and number of trials."""
    if rate["value"] is None:
        return f"- (n={rate['n']})"
    return f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f}, n={rate['n']})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table([text(name) for name in head], rows, numeric=range(1, len(head)))


def facts(values: Mapping[str, Any]) -> str:
    """A table of names and values, as the threat model is shown."""
    return table(("what", "value"), [[text(key), text(value)] for key, value in values.items()])


def _number(value: Any, digits: int = 3) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _metric_names(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of measures in any of the cases: a measure may be missing where nothing was found to measure."""
    return list(dict.fromkeys(name for case in cases for name in case))


def _notices(content: Mapping[str, Any]) -> list[str]:
    lines = []
    if not content["valid"]:
        lines.append(f"Not valid: success could show in fewer than {ENOUGH} instances.")
    if sum(name not in CONTROLS for name in content["conditions"]) < _SEEDS:
        lines.append(f"Fewer than {_SEEDS} patches: another seed may do more, or less.")
    return [f'<p class="notice">{text(line)}</p>' for line in lines]


def _meaning(content: Mapping[str, Any]) -> str:
    success = (
        "Success is a detection on a surface that shows nothing clean: ASR is its share of those surfaces"
        if content["success"] == "appears"
        else "ASR is the share of instances detected clean that are lost"
    )
    return (
        f"An instance counts as detected from a score of {content['threshold']:g}. {success}; "
        "a patch is credited only above the random one."
    )


def _main_table(content: Mapping[str, Any]) -> str:
    clean, conditions = content["metric_clean"], content["conditions"]
    names = _metric_names([clean, *(part["metric"] for part in conditions.values())])
    rows = [["clean", "-", "-", percent(content["fnr_clean"]), _count(content["detections_clean"])]]
    rows[0] += [_number(clean.get(name)) for name in names]
    for name, part in conditions.items():
        low, high = part["asr_by_scene"]
        scenes = "-" if low is None else f"{100 * low:.1f} to {100 * high:.1f} %"
        bar = f'<span class="bar" style="width:{5 * (part["asr"]["value"] or 0.0):.2f}em"></span>'
        row = [text(name), bar + percent(part["asr"]), scenes, percent(part["fnr"]), _count(part["detections"])]
        changes = part.get("metric_change", {})
        rows.append(row + [_number(part["metric"].get(key)) + _signed(changes.get(key)) for key in names])
    return _table(["patch", "ASR (95 % Wilson)", "by scene", "missed", "detections", *names], rows)


def _signed(change: float | None) -> str:
    return "" if change is None else f" ({change:+.3f})"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _boxes(found: Mapping[str, Any]) -> list[str]:
    """What became of the true boxes, and detections of nothing."""
    if not found:
        return []
    words = [word for word in next(iter(found.values())) if word != "invented_a_picture"]
    heads = [f"{word}: {_RATES[word]}" if word in _RATES else word for word in words]
    rows = [
        [text(case), *(percent(part[word]) for word in words), f"{part['invented_a_picture']:.2f}"]
        for case, part in found.items()
    ]
    return ["<h2>What became of the boxes</h2>", _table(["patch", *heads, "hallucinations a picture"], rows)]


def _cases(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Condition -> its part ``name``, clean first."""
    return {"clean": content[f"{name}_clean"]} | {key: part[name] for key, part in content["conditions"].items()}


def _details(content: Mapping[str, Any]) -> list[str]:
    """Numbers of instances beside the score: lateral deviation in metres, counts."""
    cases = _cases(content, "details")
    names = _metric_names(list(cases.values()))
    rows = [[text(case), *(_interval(found.get(name)) for name in names)] for case, found in cases.items()]
    return ["<h2>Means a picture (95 % interval over scenes)</h2>", _table(["patch", *names], rows)] if names else []


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f}, n={found['n']})"


def _over_time(content: Mapping[str, Any]) -> list[str]:
    """First detection and longest miss, where samples have a time."""
    cases = _cases(content, "over_time")
    if cases["clean"] is None:
        return []
    names = list(cases["clean"])
    rows = [
        [text(case), *(text("-" if found[n] is None else found[n]) for n in names)] for case, found in cases.items()
    ]
    return ["<h2>Over time</h2>", _table(["patch", *(name.replace("_", " ") for name in names)], rows)]


def _faults(found: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Weather and faults of sensors beside the patch."""
    if not found:
        return []
    names = _metric_names([row["metric"] for row in found])
    rows = [
        [text(row["kind"]), str(row["severity"] or "-"), percent(row["lost"])]
        + [_number(row["metric"].get(name)) for name in names]
        for row in found
    ]
    return ["<h2>Without a patch, under faults</h2>", _table(["fault", "severity", "lost", *names], rows)]


def _transfer(victims: Mapping[str, Any]) -> list[str]:
    """The same patches on other victims."""
    parts = []
    for victim, cases in victims.items():
        names = _metric_names([found["metric"] for found in cases.values()])
        rows = [
            [text(case), percent(found["asr"]) if "asr" in found else "-"]
            + [_number(found["metric"].get(name)) for name in names]
            for case, found in cases.items()
        ]
        parts += [f"<h2>Transfer to {text(victim)}</h2>", _table(["patch", "ASR", *names], rows)]
    return parts


def _defence(found: Mapping[str, Any] | None) -> list[str]:
    """Name of the defence and the checks of the attack through it."""
    if found is None:
        return []
    kind, word = ("good", "assessed") if found["assessed"] else ("bad", "not assessed")
    parts = [f'<p>Defence: {text(found["name"])}: <b class="{kind}">{word}</b>.</p>']
    if "checks" in found:
        rows = [[text(name), "yes" if good else "no"] for name, good in found["checks"].items()]
        parts.append(_table(["check of the attack through the defence", "passed"], rows))
    return parts


def _breakdowns(content: Mapping[str, Any]) -> list[str]:
    """ASR of the crafted patches by class, size, view and light."""
    parts = []
    for name, part in content["conditions"].items():
        for key, groups in part["by"].items() if name not in CONTROLS else ():
            if len(groups) > 1:
                rows = [[text(group or "-"), percent(rate)] for group, rate in groups.items()]
                parts += [f"<h3>{text(name)}: {text(key)}</h3>", _table([key, "ASR"], rows)]
    parts = _class_means(content) + parts
    return ["<h2>By class, size, view and light</h2>", *parts] if parts else []


def _class_means(content: Mapping[str, Any]) -> list[str]:
    """ASR pooled, as the mean of the classes and weighted by their instances, where there are several classes."""
    cases = content["conditions"]
    if not any(len(part["by"].get("label", ())) > 1 for part in cases.values()):
        return []
    rows = []
    for name, part in cases.items():
        means = part["asr_over_classes"]
        values = (part["asr"]["value"], means["mean"], means["weighted"])
        rows.append([text(name), *("-" if value is None else f"{100 * value:.1f} %" for value in values)])
    head = ["patch", "ASR of all instances", "mean of the classes", "classes weighted by instances"]
    return ["<h3>over classes</h3>", _table(head, rows)]


def _figures(evaluation: Evaluation) -> list[str]:
    """The first sample in every condition, with what counts as detected drawn on it."""
    figures = []
    for name, image in evaluation.examples.items():
        result = evaluation.predictions.get(name)
        if isinstance(result, Boxes2D):
            kept = result.scores >= evaluation.threshold
            parts = {part: getattr(result, part)[kept] for part in ("boxes", "scores", "labels")}
            result = replace(result, **parts)
        drawn = image if result is None else draw_result(image.copy(), result)
        source = picture(drawn, quality=90)
        figures.append(f'<figure><img alt="{text(name)}" src="{source}"><figcaption>{text(name)}</figcaption></figure>')
    return figures
