# SPDX-License-Identifier: Apache-2.0
"""The figures of a comparison as SVG: one file a measure, one panel a load, one mark for each relay and
version of TLS. Costs differ by a hundred times, so that their scale is logarithmic and the marks are
dots; a percentage has bars from 0. The figure itself stands at each mark."""

import math
import os
from xml.sax.saxutils import escape

from report import figures, load_titles

WIDTH, GAP, LEFT, RIGHT = 984, 24, 134, 56
ROW, PAIR_GAP, PANEL_TOP, PANEL_FOOT, TOP = 14, 7, 36, 44, 56
OURS, OTHER = "#1a6fb0", "#777d87"
FONT = 'font-family="DejaVu Sans, Arial, sans-serif"'

# key, title, unit on the axis, whether the scale is logarithmic
MEASURES = (
    ("cpu_ms", "CPU of the relay for a message", "CPU-ms a message; less is better", True),
    ("cpu_s_gb", "CPU of the relay for a gigabyte of mail", "CPU-s a GB; less is better", True),
    ("per_client", "CPU of the relay, by that of the load client in the same run",
     "CPU-s of the relay for one of the client; less is better", True),
    ("percent", "How near to the userspace limit", "percent of the limit; more is better", False),
    ("p50", "Latency at a fixed rate, median", "ms at {rate} messages a second; less is better", True),
    ("p99", "Latency at a fixed rate, 99th percentile",
     "ms at {rate} messages a second; less is better", True),
    ("p99.9", "Latency at a fixed rate, 99.9th percentile",
     "ms at {rate} messages a second; less is better", True),
    ("kb_each", "Memory of an idle TLS session", "KB PSS of all processes; less is better", True),
)
LATENCIES = ("p50", "p99", "p99.9")


def text(x, y, words, size=12, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {more}>'
            f'{escape(words)}</text>')


def figure(value):
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


class LogScale:
    """From one round figure to another: 1, 2 and 5 of each power of ten."""

    def __init__(self, values):
        low, high = min(values), max(values)
        steps = [m * 10.0 ** e for e in range(-6, 9) for m in (1, 2, 5)]
        first = max(i for i, s in enumerate(steps) if s <= low)
        last = min(i for i, s in enumerate(steps) if s >= high)
        self.marks = steps[first:max(last, first + 1) + 1]
        self.base = math.log(self.marks[0])
        self.length = math.log(self.marks[-1]) - self.base
        if len(self.marks) > 8:
            self.marks = [m for m in self.marks if abs(math.log10(m) % 1) < 1e-9]

    def place(self, value):
        return (math.log(value) - self.base) / self.length


class LinearScale:
    """From 0, in three to six round steps."""

    def __init__(self, values):
        raw = max(values) / 4
        power = 10 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
        self.marks = [i * step for i in range(math.ceil(max(values) / step - 1e-9) + 1)]

    def place(self, value):
        return value / self.marks[-1]


def mark(x, y, wide, colour, version, log):
    """One value; TLS 1.3 is filled."""
    fill = colour if version == "1.3" else "#ffffff"
    if log:
        return [f'<line x1="{x}" y1="{y}" x2="{x + wide:.1f}" y2="{y}" stroke="#cfd3d8"/>',
                f'<circle cx="{x + wide:.1f}" cy="{y}" r="4.2" fill="{fill}" stroke="{colour}" '
                'stroke-width="1.6"/>']
    return [f'<rect x="{x}" y="{y - 5}" width="{wide:.1f}" height="10" fill="{fill}" '
            f'stroke="{colour}"/>']


def panel(x, y, width, title, relays, unit, log):
    """relays: (title, colour, [(version, value)]). SVG lines, and the height."""
    values = [v for _, _, pairs in relays for _, v in pairs]
    scale = LogScale(values) if log else LinearScale(values)
    room = width - LEFT - RIGHT
    foot = y + PANEL_TOP + sum(ROW * len(pairs) + PAIR_GAP for _, _, pairs in relays)
    out = [text(x + LEFT, y + 20, title, 13, more='font-weight="bold"')]
    for value in scale.marks:
        at = x + LEFT + room * scale.place(value)
        out.append(f'<line x1="{at:.1f}" y1="{y + PANEL_TOP - 6}" x2="{at:.1f}" y2="{foot}" '
                   'stroke="#e6e8eb"/>')
        out.append(text(at, foot + 14, f"{value:g}", 10, "middle", 'fill="#555555"'))
    words = unit + (" (logarithmic)" if log else "")
    out.append(text(x + LEFT + room / 2, foot + 30, words, 11, "middle", 'fill="#333333"'))
    at = y + PANEL_TOP
    for name, colour, pairs in relays:
        out.append(text(x + LEFT - 10, at + ROW * len(pairs) / 2 + 4, name, 12, "end"))
        for version, value in pairs:
            wide = room * scale.place(value)
            out += mark(x + LEFT, at + ROW / 2, wide, colour, version, log)
            out.append(text(x + LEFT + wide + 9, at + ROW - 3.5, figure(value), 10))
            at += ROW
        at += PAIR_GAP
    out.append(f'<line x1="{x + LEFT}" y1="{y + PANEL_TOP - 6}" x2="{x + LEFT}" y2="{foot}" '
               'stroke="#333333"/>')
    return out, foot + PANEL_FOOT - y


def entries(results, key):
    """(load, relay, version, value) of all that was measured."""
    if key == "kb_each":
        return [("idle", x["relay"], x["tls"], x["kb_each"]) for x in results["idle"]]
    if key in LATENCIES:
        return [(c["load"], c["relay"], c["tls"], c["latency"][key])
                for c in results["cells"] if c.get("latency")]
    return [(c["load"], c["relay"], c["tls"], figures(results, c)[key]) for c in results["cells"]]


def values_of(plan, results, key):
    """{load: {relay: [(version, value)]}}, loads in the order of the plan. What is 0 or less (memory
    that shrank) has no place on a logarithmic scale."""
    found = {load: {} for load in load_titles(plan)}
    for load, relay, version, value in entries(results, key):
        if value is not None and value > 0:
            found[load].setdefault(relay, []).append((version, value))
    return {load: relays for load, relays in found.items() if relays}


def legend(results):
    out, at = [], WIDTH - 20
    for version in reversed(list(results["suites"])):
        at -= 78
        out += [f'<circle cx="{at}" cy="20" r="4.2" stroke="{OTHER}" stroke-width="1.6" '
                f'fill="{OTHER if version == "1.3" else "#ffffff"}"/>',
                text(at + 10, 24, f"TLS {version}", 11)]
    return out


def drawing(plan, results, key, title, unit, log):
    """The whole SVG, or None where nothing was measured."""
    found = values_of(plan, results, key)
    if not found:
        return None
    titles = load_titles(plan)
    rates = {row["name"]: row["rate"] for row in plan["loads"]}
    columns = min(2, len(found))
    width = (WIDTH - (columns - 1) * GAP) / columns
    body, y, row_height = [], TOP, 0
    for i, (load, relays) in enumerate(found.items()):
        bars = [(results["relays"][relay]["title"],
                 OURS if relay.startswith("postern") else OTHER, pairs)
                for relay, pairs in relays.items()]
        lines, height = panel(i % columns * (width + GAP), y, width, titles[load], bars,
                              unit.format(rate=rates.get(load)), log)
        body += lines
        row_height = max(row_height, height)
        if i % columns == columns - 1:
            y, row_height = y + row_height, 0
    y += row_height
    m = results["machine"]
    where = (f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}; "
             f"medians of {results['rounds']} round(s)")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" {FONT}>',
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        text(20, 25, title, 16, more='font-weight="bold"'),
        text(20, 43, where, 10, more='fill="#555555"'), *legend(results), *body, "</svg>", ""])


def write_all(plan, results, folder):
    """Writes one file a measure; their paths."""
    written = []
    for key, title, unit, log in MEASURES:
        svg = drawing(plan, results, key, title, unit, log)
        if svg:
            path = os.path.join(folder, f"compare-{key.replace('.', '_')}.svg")
            with open(path, "w", encoding="utf-8") as f:
                f.write(svg)
            written.append(path)
    return written
