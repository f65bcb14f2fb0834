# SPDX-License-Identifier: Apache-2.0
"""The figures of a comparison as SVG: one file a measure, one panel a load, one bar for each relay
and version of TLS. Each panel has its own linear scale from 0; the figure stands at its bar."""

import math
import os
from xml.sax.saxutils import escape

from report import figures, load_titles, number

WIDTH, LEFT, RIGHT, GAP = 480, 110, 74, 24
BAR, PAIR_GAP, PANEL_TOP, PANEL_FOOT, TOP = 13, 8, 34, 40, 58
COLOURS = {"postern": "#1a6fb0", "postern-ktls": "#0a3d66"}
OTHER = "#8a8f98"
OPACITY = {"1.3": 1.0, "1.2": 0.55}
FONT = 'font-family="DejaVu Sans, Arial, sans-serif"'

MEASURES = (
    ("cpu_ms", "CPU of the relay for a message", "CPU-ms a message; less is better", 3),
    ("cpu_s_gb", "CPU of the relay for a gigabyte of mail", "CPU-s a GB; less is better", 2),
    ("per_client", "CPU of the relay by that of the load client in the same run",
     "CPU-s of the relay a CPU-s of the client; less is better", 2),
    ("percent", "How near to the userspace limit", "percent of the limit; more is better", 0),
    ("p50", "Latency at a fixed rate, median", "ms; less is better", 1),
    ("p99", "Latency at a fixed rate, 99th percentile", "ms; less is better", 1),
    ("p99.9", "Latency at a fixed rate, 99.9th percentile", "ms; less is better", 1),
    ("kb_each", "Memory of an idle TLS session", "KB PSS of all processes; less is better", 1),
)


def text(x, y, words, size=12, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {more}>'
            f'{escape(words)}</text>')


def ticks(most):
    """Three to six round steps from 0 to most or just beyond."""
    raw = most / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    return [i * step for i in range(int(math.ceil(most / step - 1e-9)) + 1)]


def panel(x, y, title, bars, unit, digits):
    """bars: (relay's title, colour, [(version, value)]). SVG lines, and the height."""
    most = max(v for _, _, values in bars for _, v in values) or 1
    marks = ticks(most)
    room = WIDTH - LEFT - RIGHT
    foot = y + PANEL_TOP + sum(BAR * len(values) + PAIR_GAP for _, _, values in bars)
    out = [text(x + LEFT, y + 20, title, 13, more='font-weight="bold"')]
    for mark in marks:
        at = x + LEFT + room * mark / marks[-1]
        out.append(f'<line x1="{at:.1f}" y1="{y + PANEL_TOP - 6}" x2="{at:.1f}" y2="{foot}" '
                   'stroke="#dddddd"/>')
        out.append(text(at, foot + 14, f"{mark:g}", 10, "middle", 'fill="#555555"'))
    out.append(text(x + LEFT + room / 2, foot + 29, unit, 11, "middle", 'fill="#333333"'))
    at = y + PANEL_TOP
    for name, colour, values in bars:
        out.append(text(x + LEFT - 8, at + BAR * len(values) / 2 + 4, name, 12, "end"))
        for version, value in values:
            wide = room * value / marks[-1]
            out.append(f'<rect x="{x + LEFT}" y="{at}" width="{wide:.1f}" height="{BAR - 2}" '
                       f'fill="{colour}" fill-opacity="{OPACITY[version]}"/>')
            out.append(text(x + LEFT + wide + 5, at + BAR - 3.5, number(value, digits), 10))
            at += BAR
        at += PAIR_GAP
    out.append(f'<line x1="{x + LEFT}" y1="{y + PANEL_TOP - 6}" x2="{x + LEFT}" y2="{foot}" '
               'stroke="#333333"/>')
    return out, foot + PANEL_FOOT - y


def values_of(plan, results, key):
    """{load: {relay: [(version, value)]}}, in the order of the plan."""
    found = {row: {} for row in load_titles(plan)}
    if key == "kb_each":
        entries = [("idle", x["relay"], x["tls"], x["kb_each"]) for x in results["idle"]]
    elif key.startswith("p") and key != "per_client" and key != "percent":
        entries = [(c["load"], c["relay"], c["tls"], c["latency"][key])
                   for c in results["cells"] if c.get("latency")]
    else:
        entries = [(c["load"], c["relay"], c["tls"], figures(results, c)[key])
                   for c in results["cells"]]
    for load, relay, version, value in entries:
        if value is not None:
            found[load].setdefault(relay, []).append((version, max(value, 0)))
    return {load: relays for load, relays in found.items() if relays}


def legend(results, wide):
    out = []
    at = wide - 20
    for version in reversed(list(results["suites"])):
        at -= 72
        out.append(f'<rect x="{at}" y="33" width="14" height="11" fill="{OTHER}" '
                   f'fill-opacity="{OPACITY[version]}"/>')
        out.append(text(at + 19, 42.5, f"TLS {version}", 11))
    return out


def drawing(plan, results, key, title, unit, digits):
    """The whole SVG, or None where nothing was measured."""
    found = values_of(plan, results, key)
    if not found:
        return None
    titles = load_titles(plan)
    columns = min(2, len(found))
    wide = columns * WIDTH + (columns - 1) * GAP
    body, y, row_height = [], TOP, 0
    for i, (load, relays) in enumerate(found.items()):
        bars = [(results["relays"][relay]["title"], COLOURS.get(relay, OTHER), values)
                for relay, values in relays.items()]
        unit_here = unit
        if key.startswith("p") and unit.startswith("ms"):
            rate = next(row["rate"] for row in plan["loads"] if row["name"] == load)
            unit_here = f"ms at {rate} messages a second; less is better"
        lines, height = panel(i % columns * (WIDTH + GAP), y, titles[load], bars, unit_here, digits)
        body += lines
        row_height = max(row_height, height)
        if i % columns == columns - 1:
            y, row_height = y + row_height, 0
    y += row_height
    m = results["machine"]
    where = (f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}; "
             f"median of {results['rounds']}")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{y}" '
        f'viewBox="0 0 {wide} {y}" {FONT}>',
        f'<rect width="{wide}" height="{y}" fill="#ffffff"/>',
        text(20, 24, title, 16, more='font-weight="bold"'),
        text(20, 43, where, 10 if columns > 1 else 8, more='fill="#555555"'),
        *(legend(results, wide) if columns > 1 else legend(results, wide)), *body, "</svg>", ""])


def write_all(plan, results, folder):
    """Writes one file a measure; their paths."""
    written = []
    for key, title, unit, digits in MEASURES:
        svg = drawing(plan, results, key, title, unit, digits)
        if svg:
            path = os.path.join(folder, f"compare-{key.replace('.', '_')}.svg")
            with open(path, "w", encoding="utf-8") as f:
                f.write(svg)
            written.append(path)
    return written
