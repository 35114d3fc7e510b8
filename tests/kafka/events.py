"""The account of a run of events: events.py PRODUCED CONSUMED EVENTS; EVENTS has lines `START_MS END_MS NAME`.

Prints a table in Markdown: per event the longest gap between two acknowledgements that reaches into it, and
what was refused meanwhile. Fails if anything acknowledged is lost, twice, or out of order within a partition."""

import json
import sys

produced, consumed, events = sys.argv[1:4]

acknowledged, times_ms, refused_ms = {}, [], []
for line in open(produced):
    try:
        event = json.loads(line)
    except ValueError:
        continue
    if event.get("name") == "producer_send_success":
        acknowledged[int(event["value"])] = (event["partition"], event["offset"])
        times_ms.append(event["timestamp"])
    elif event.get("name") == "producer_send_error":
        refused_ms.append(event["timestamp"])

read, last, disordered, twice = {}, {}, 0, 0
for line in open(consumed):
    partition, offset, value = line.rstrip("\n").split("\t")
    partition, value = int(partition.split(":")[1]), int(value)
    twice += value in read
    read[value] = (partition, int(offset.split(":")[1]))
    disordered += value <= last.get(partition, -1)
    last[partition] = value

lost = [value for value, at in acknowledged.items() if read.get(value) != at]
times_ms.sort()
print("| event | took | longest gap | refused |")
print("|---|---:|---:|---:|")
for line in open(events):
    start, end, name = line.rstrip("\n").split(" ", 2)
    start, end = int(start), int(end)
    pairs = zip(times_ms, times_ms[1:])
    gaps = [after - before for before, after in pairs if after >= start and before < end]
    refused = sum(start <= at < end for at in refused_ms)
    gap = f"{max(gaps)} ms" if gaps else "nothing acknowledged"
    print(f"| {name} | {(end - start) / 1000:.1f} s | {gap} | {refused} |")
print()
print(
    f"{len(acknowledged)} acknowledged, {len(refused_ms)} refused, {len(lost)} lost, {twice} twice, "
    f"{disordered} out of order within a partition"
)
sys.exit(1 if lost or twice or disordered or not acknowledged else 0)
