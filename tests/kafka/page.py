"""Both engines' runs of tests/kafka/events side by side: page.py OUT [DOCS]

Reads OUT/ENGINE/result.json, prints a table in Markdown and draws OUT/kafka-events.svg; with DOCS, both go
into DOCS/kafka.md, between its lines `<!-- events -->`, and DOCS/img."""

import json
import math
import os
import re
import sys
from html import escape

out = sys.argv[1]
ENGINES = {"coordinator": "coordinator", "zookeeper": "ZooKeeper"}
COLOURS = {"coordinator": "#0072B2", "zookeeper": "#D55E00"}
runs = {}
for engine in ENGINES:
    if os.path.exists(f"{out}/{engine}/result.json"):
        runs[engine] = json.load(open(f"{out}/{engine}/result.json"))
rows = {engine: {row["name"]: row for row in run["events"]} for engine, run in runs.items()}
names = list(dict.fromkeys(name for run in runs.values() for name in (row["name"] for row in run["events"])))


def ms(value):
    return "–" if value is None else f"{value:,} ms"


def tries(pair):
    count, took = pair
    return "never" if not count else f"{took / 1000:.1f} s" + (f", {count} tries" if count > 1 else "")


def table():
    yield "| event | engine | longest gap, acknowledged | longest gap, consumed | refused | topic created in | moved in | fenced without cause | load |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for name in names:
        for engine in runs:
            if row := rows[engine].get(name):
                cells = [name, ENGINES[engine], ms(row["gap_ms"]), ms(row["read_gap_ms"]), str(row["refused"])]
                cells += [tries(row["create"]), tries(row["move"]), str(row["fenced"]), f"{row['load']:.0f}"]
                yield "| " + " | ".join(cells) + " |"
    yield ""
    for engine, run in runs.items():
        shrunk = sum(row["shrunk"] for row in run["events"])
        expired = sum(row["expired"] for row in run["events"])
        yield f"- {ENGINES[engine]}: {run['account']}; brokers without a share in the event lost {expired} sessions and left an ISR {shrunk} times."


WIDTH, LEFT, RIGHT, TOP, ROW = 760.0, 170.0, 60.0, 74.0, 40.0
INK, FAINT, GREY = "#222222", "#d9d9d9", "#666666"


def plot():
    values = [row[key] for engine in runs for row in rows[engine].values() for key in ("gap_ms",) if row[key]]
    low, high = math.log10(min(values)) - 0.15, math.log10(max(values)) + 0.15
    at = lambda value: LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    bottom = TOP + ROW * len(names) + 8
    height = bottom + 44
    title = "Longest gap between two acknowledged messages, by event"

    def text(x, y, anchor, fill, size, words):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{escape(words)}</text>'

    def mark(engine, x, y):
        if engine == "zookeeper":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS[engine]}"/>'
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{COLOURS[engine]}"/>'

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" width="{WIDTH:.0f}" height="{height:.0f}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" role="img" aria-label="{title}">'
    )
    yield f'<rect width="{WIDTH:.0f}" height="{height:.0f}" fill="#ffffff"/>'
    yield text(16, 26, "start", INK, 17, title)
    yield text(16, 46, "start", GREY, 12.5, "three brokers, acks=all, 100 messages a second; less is better")
    for index, engine in enumerate(ENGINES):
        yield mark(engine, WIDTH - 230 + 112 * index, 62)
        yield text(WIDTH - 221 + 112 * index, 66, "start", INK, 12, ENGINES[engine])
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in (1, 2, 5):
            tick = step * 10**decade
            if low <= math.log10(tick) <= high:
                yield f'<path d="M{at(tick):.1f} {TOP}V{bottom:.1f}" stroke="{FAINT}" fill="none"/>'
                yield text(at(tick), bottom + 16, "middle", GREY, 12, f"{tick:,}")
    yield text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "middle", GREY, 12, "milliseconds, logarithmic")
    for index, name in enumerate(names):
        middle = TOP + ROW * (index + 0.5)
        yield text(LEFT - 10, middle + 4, "end", INK, 13, name)
        for turn, engine in enumerate(runs):
            value = (rows[engine].get(name) or {}).get("gap_ms")
            if value:
                y = middle - 8 + 16 * turn
                yield mark(engine, at(value), y)
                yield text(at(value) + 9, y + 4, "start", INK, 11, f"{value:,}")
    yield "</svg>"


page, drawing = "\n".join(table()) + "\n", "\n".join(plot()) + "\n"
open(f"{out}/kafka-events.svg", "w").write(drawing)
print(page)
if len(sys.argv) > 2:
    docs = sys.argv[2]
    open(f"{docs}/img/kafka-events.svg", "w").write(drawing)
    text = open(f"{docs}/kafka.md").read()
    fence = "<!-- events -->\n"
    if text.count(fence) != 2:
        sys.exit(f"{docs}/kafka.md does not have two lines {fence}")
    text = re.sub(f"({fence}).*({fence})", lambda m: m[1] + page + m[2], text, flags=re.S)
    open(f"{docs}/kafka.md", "w").write(text)
