"""Bars of ratios as SVG, written by hand: readable on a light page and on a dark one."""

from html import escape
from typing import Any

WIDTH, LEFT, ROW, TOP = 760, 300, 26, 56
RIGHT = 70

EXPLAINED = "Requests per second, as a share of the open route of the same framework. Red: what is to be reached."

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .faint { fill: #59636e; font-size: 12px }
  .axis { stroke: #8c959f; stroke-width: 1 }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .open { fill: #818b98 } .document { fill: #d4a72c } .guard { fill: #0969da } .refused { fill: #1a7f37 }
  .target { stroke: #cf222e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .faint { fill: #9198a1 } .axis { stroke: #656c76 } .grid { stroke: #3d444d }
    .document { fill: #bb8009 } .guard { fill: #4493f8 } .refused { fill: #3fb950 } .target { stroke: #ff7b72 }
  }
"""


def bars(title: str, rows: dict[str, dict[str, Any]]) -> str:
    """One bar for each scenario: its requests per second as a share of the open route's.

    Args:
        title: what the picture shows.
        rows: summaries by key, in the order in which they are drawn.
    """
    shown = list(rows.values())
    most = max(1.0, *(row["ratio"] for row in shown), *(row["target"] or 0 for row in shown))
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(shown) + 40
    bottom = TOP + ROW * len(shown)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="22">{escape(title)}</text>',
        f'<text class="faint" x="12" y="40">{EXPLAINED}</text>',
    ]
    step = 0.25 if most <= 2 else 0.5 if most <= 4 else 1.0
    ticks = int(most / step) + 1
    for n in range(ticks):
        value = n * step
        x = LEFT + value * scale
        lines.append(
            f'<line class="{"axis" if value in (0, 1) else "grid"}" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        )
        lines.append(f'<text class="faint" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
    for n, row in enumerate(shown):
        y = TOP + n * ROW + 4
        width = row["ratio"] * scale
        label = escape(row["label"].replace("`", ""))
        lines.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{label}</text>')
        lines.append(f'<rect class="{row["kind"]}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{ROW - 8}" rx="2"/>')
        after = LEFT + width
        if row["target"]:
            x = LEFT + row["target"] * scale
            lines.append(f'<line class="target" x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + ROW - 5}"/>')
            after = max(after, x + 2)
        lines.append(f'<text x="{after + 6:.1f}" y="{y + 13}">{row["ratio"]:.2f}</text>')
    return "\n".join([*lines, "</svg>", ""])
