"""Parts of our html pages: one style, escaped text, tables. Pages refer to nothing outside the run's folder."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["cards", "document", "flat", "number", "picture", "table", "text"]

_STYLE = """
:root{--ink:#1c2330;--soft:#5d6778;--line:#dfe3ea;--card:#fff;--page:#f4f6f9;--accent:#0b6bcb;--bad:#c62f2f;
--good:#2a8a4a;--warn:#b26a00}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b5;--line:#323a47;--card:#1c222c;--page:#12161d;
--accent:#5aaeff;--bad:#ff7b72;--good:#56d17f;--warn:#f0b04c}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}main.wide{max-width:1480px}
h1{font-size:26px;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:18px;margin:34px 0 12px}.soft{color:var(--soft);overflow-wrap:anywhere}a{color:var(--accent)}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin-top:18px}.card{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:12px 16px;min-width:130px;flex:1}.card b{display:block;font-size:22px;line-height:1.25}
.card span{color:var(--soft);font-size:13px}.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);
border-radius:10px}table{border-collapse:collapse;width:100%}th,td{padding:7px 12px;text-align:left;
border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;color:var(--soft);font-size:13px}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.notice{border-left:5px solid #e39b00;background:#e39b0022;padding:11px 16px;border-radius:6px;margin:18px 0 0}
.thumbs{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
figure img{display:block;width:100%}figcaption{padding:6px 12px;color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(430px,100%),1fr));gap:12px}
.charts>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}
code{font-size:13px;overflow-wrap:anywhere}
.bad{color:var(--bad)}.good{color:var(--good)}.warn{color:var(--warn)}
"""


def document(title: str, sections: Sequence[str], style: str = "", wide: bool = False, script: str = "") -> str:
    """A whole html document.

    Args:
        title: Title of the window; escaped here.
        sections: Parts of the body, html already.
        style: Further rules.
        wide: Use more of a wide screen.
        script: Code the page also works without.
    """
    kind = ' class="wide"' if wide else ""
    code = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}{style}</style></head>"
        f"<body><main{kind}>{''.join(sections)}</main>{code}</body></html>\n"
    )


def text(value: Any) -> str:
    """A value as escaped text; floats with four digits, None as nothing."""
    if isinstance(value, float):
        value = f"{value:.4g}"
    return html.escape("" if value is None else str(value))


def number(value: Any, digits: int = 1) -> str:
    """A number with thousands separators, a dash for anything else."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "&ndash;"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of cells that are html already; the columns in ``numeric`` are set to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        classes = [' class="n"' if i in numeric else "" for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(classes, cells)) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table>{line("th", header)}{body}</table></div>'


def cards(figures: Sequence[tuple[str, str]]) -> str:
    """Large figures (html) with what they count."""
    parts = "".join(f'<div class="card"><b>{figure}</b><span>{name}</span></div>' for figure, name in figures)
    return f'<div class="cards">{parts}</div>'


def picture(image: np.ndarray, quality: int = 80) -> str:
    """An (H, W, 3) uint8 RGB image as the source of an ``<img>``."""
    import cv2

    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings with their keys joined by dots."""
    out: list[tuple[str, Any]] = []
    for key, value in tree.items():
        out += flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return out
