"""What a producer was told and what a consumer read: account.py PRODUCED CONSUMED KILLED_MS."""

import json
import sys

produced, consumed, killed_ms = sys.argv[1], sys.argv[2], int(sys.argv[3])

acknowledged, times_ms, failed = {}, [], 0
for line in open(produced):
    event = json.loads(line) if line.startswith("{") else {}
    if event.get("name") == "producer_send_success":
        acknowledged[int(event["value"])] = (event["partition"], event["offset"])
        times_ms.append(event["timestamp"])
    elif event.get("name") == "producer_send_error":
        failed += 1

read, last, disordered = {}, {}, 0
for line in open(consumed):
    partition, offset, value = line.rstrip("\n").split("\t")
    partition, value = int(partition.split(":")[1]), int(value)
    read[value] = (partition, int(offset.split(":")[1]))
    disordered += value <= last.get(partition, -1)
    last[partition] = value

lost = [value for value, at in acknowledged.items() if read.get(value) != at]
times_ms.sort()
gaps = [(after - before, after) for before, after in zip(times_ms, times_ms[1:])]
after_ms = max((gap for gap, at in gaps if at >= killed_ms), default=-1)
before_ms = max((gap for gap, at in gaps if at < killed_ms), default=-1)
print(f"{len(acknowledged)} acknowledged, {failed} refused, {len(lost)} lost, {disordered} out of order within a partition")
print(f"longest gap between acknowledgements: {before_ms} ms before the kill, {after_ms} ms from the kill on")
sys.exit(1 if lost or disordered or failed or after_ms < 0 or not acknowledged else 0)
