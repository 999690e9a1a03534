"""Our pages as a reader sees them: no error, nothing from outside, every table and picture there, on a phone too."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.attack import AttackSample
from perception.plugins.patch_robustness.attacks import AttackConfig, craft
from perception.plugins.patch_robustness.comparisons import corruption_table, transfer_table
from perception.plugins.patch_robustness.evaluate import evaluate
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.study_page import study_page
from perception.plugins.patch_robustness.surfaces import Surface
from perception.plugins.patch_robustness.threat_model import describe
from perception.structures import Boxes2D

TESTS = Path(__file__).resolve().parent.parent
BROWSER = runpy.run_path(str(TESTS / "fixtures" / "browser.py"))
make_target = runpy.run_path(str(TESTS / "plugins" / "patch_robustness" / "own_detector.py"))["make_target"]
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    program = BROWSER["find_chromium"]()
    if program is None:
        pytest.skip("no Chromium or Chrome on the PATH; name one in PERCEPTION_CHROMIUM")
    with BROWSER["Browser"](program, tmp_path_factory.mktemp("profile")) as found:
        yield found


def check_page(browser: Any, page: Path, pictures: Path | None) -> None:
    """Open a page at both widths; with ``pictures`` keep screenshots there."""
    for name, width in WIDTHS.items():
        browser.open(page.as_uri(), width, 800)
        assert browser.complaints() == []
        assert browser.requests() == [page.as_uri()], "a page refers to nothing outside itself"
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length"
        assert browser.evaluate(broken) == 0
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.evaluate(over) <= 0, f"the page is wider than a window of {width} pixels"
        if pictures is not None:
            browser.screenshot(pictures / f"{page.parent.name}_{name}.png")


def board(number: int) -> AttackSample:
    image = np.random.default_rng(number).integers(0, 60, (96, 96, 3), dtype=np.uint8)
    image[24:48, 24:48] = 230
    truth = Boxes2D("front", (96, 96), [[24, 24, 48, 48]], [1.0], [0], ("thing",))
    side = 16.0 + number
    quad = torch.tensor([[26.0, 26.0], [26 + side, 26.0], [26 + side, 46.0], [26.0, 46.0]])
    surface = Surface(quad, "rect", (1.0, 1.0), instance=0, label="thing")
    meta = {"time_s": 0.1 * number, "distance_m": 40.0 - number}
    return AttackSample(f"b{number}", image, truth, f"<scene {number % 2}>", (surface,), meta)


@pytest.fixture(scope="module")
def attack_report(tmp_path_factory) -> Path:
    samples, target = [board(k) for k in range(5)], make_target()
    config = AttackConfig(method="pgd", steps=8, step_size=0.2, batch=2, width=16, size="")
    patches = {"seed 0": craft(target, samples, config).patches}
    about = {
        "config": "<board>",
        "samples": len(samples),
        "threat_model": describe(config, target, samples),
        "occlusion": "ignored",
        "corruptions": corruption_table(target, samples, ["fog", "jpeg"], (1, 5)),
        "transfer": transfer_table({"twin": make_target(False)}, samples, patches, config),
        "defence": {"name": "Jpeg(quality=50)", "assessed": False, "checks": {"loss falls with steps": True}},
        "version": "0.0",
        "config_sha256": "0" * 64,
    }
    folder = tmp_path_factory.mktemp("attack")
    write_report(folder, evaluate(target, samples, patches, config), about)
    return folder / "report.html"


def test_the_report_of_an_attack(browser, attack_report):
    wanted = os.environ.get("PERCEPTION_SCREENSHOTS")
    check_page(browser, attack_report, Path(wanted) if wanted else None)
    shown = browser.evaluate("document.body.innerText")
    for text in (
        "Threat model", "black box" if "black box" in shown else "white box", "occlusion", "ignored", "<board>",
        "Not valid", "not assessed", "Fewer than 3 patches", "What became of the boxes", "Over time", "under faults",
        "Transfer to twin", "Before and after", "config_sha256", "disappearance rate",
    ):  # fmt: skip
        assert text in shown, text
    heads = "[...document.querySelectorAll('table')].map(t => [t.rows[0].innerText.split('\\t')[0], t.rows.length])"
    tables = browser.evaluate(heads)
    assert ["patch", 5] in tables, "clean, grey, random, crafted below a heading"
    assert ["fault", 6] in tables
    assert [browser.evaluate(f"document.images[{k}].alt") for k in range(4)] == ["clean", "grey", "random", "seed 0"]
    assert browser.evaluate("document.querySelectorAll('.scroll').length") == len(tables), "tables scroll by themselves"


def test_the_page_of_a_study(browser, tmp_path):
    def row(victim: str, measured: str, rates: list[float | None]) -> dict:
        names = ("grey", "random", "seed 0", "seed 1", "seed 2")
        known = [100 * rate if rate is not None else float("nan") for rate in rates]
        return {
            "victim": victim,
            "crafted": "realistic",
            "measured": measured,
            "instances": 60,
            "detected_clean": 50,
            "valid": rates[0] is not None,
            "metric_clean": {"AP50": 0.9},
            "asr_grey": known[0],
            "asr_random": known[1],
            "asr_seeds": known[2:],
            "asr": known[2],
            "excess": known[2] - known[1],
            "intervals": {n: [max(v - 9, 0.0), v + 12] if v == v else [0.0, 100.0] for n, v in zip(names, known)},
        }

    rows = [row("<plain>", "realistic", [0.02, 0.1, 0.7, 0.6, 0.65]), row("<plain>", "synthetic", [None] * 5)]
    rows.append(row("hardened", "realistic", [0.02, 0.05, 0.3, 0.2, 0.25]))
    cost = {"AP50": -0.01}
    cut = {"victim": "hardened", "crafted": "a", "measured": "b", "against": "<plain>", "cut": 55.0, "cost": cost}
    model = {"goal": "hide", "knowledge": "white box", "size": "25.4 x 25.4 cm, middle", "budget": "60 steps"}
    page = tmp_path / "study" / "study.html"
    page.parent.mkdir()
    content = {"config": "signs_study", "threat_model": model, "rows": rows, "cuts": [cut]}
    page.write_text(study_page(content, ["<plain>/realistic_report/report.html"]))
    wanted = os.environ.get("PERCEPTION_SCREENSHOTS")
    check_page(browser, page, Path(wanted) if wanted else None)
    shown = browser.evaluate("document.body.innerText")
    for text in ("Threat model", "white box", "<plain>", "cuts the excess", "Not valid", "in 1 of 3 rows", "Reports"):
        assert text in shown, text
    assert browser.evaluate("document.querySelectorAll('svg').length") == 2, "a chart for each victim"
    assert browser.evaluate("document.querySelectorAll('circle').length") == 10
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 249)"


def test_the_browser_hears_errors_and_requests(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>console.error("bad"); undefined.x</script>')
    browser.open(page.as_uri(), 800, 600)
    assert len(browser.complaints()) >= 2 and browser.requests()[1:] == ["http://127.0.0.1:9/x.png"]
    with pytest.raises(AssertionError):
        check_page(browser, page, None)
