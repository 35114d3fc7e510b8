"""What a producer was told, and what a consumer read.

account.py spans PRODUCED CONSUMED SPANS     lines of SPANS: START_MS END_MS NAME; prints each one's longest gap
account.py events OUT ENGINE                 a run of tests/kafka/events: prints its table, writes OUT/result.json
account.py whole [PLACE] < BROKERS_JSON      whether no partition lacks a replica, and `moves` is in its place
account.py arrived PLACE < BROKERS_JSON      whether `moves` is in its place

Fails if anything acknowledged is lost, twice, or out of order within a partition."""

import json
import re
import sys


class Account:
    """Messages are numbers that only grow; `acknowledged` has those the producer was told of."""

    def __init__(self, produced, consumed):
        self.acknowledged, self.times_ms, self.refused_ms = {}, [], []
        for event in events(produced):
            if event.get("name") == "producer_send_success":
                self.acknowledged[int(event["value"])] = (event["partition"], event["offset"])
                self.times_ms.append(event["timestamp"])
            elif event.get("name") == "producer_send_error":
                self.refused_ms.append(event["timestamp"])
        self.times_ms.sort()
        read, last = {}, {}
        self.twice, self.disordered = 0, 0
        for line in open(consumed):
            partition, offset, value = line.rstrip("\n").split("\t")
            partition, value = int(partition.split(":")[1]), int(value)
            self.twice += value in read
            read[value] = (partition, int(offset.split(":")[1]))
            self.disordered += value <= last.get(partition, -1)
            last[partition] = value
        self.read = bool(read)
        self.lost = sum(read.get(value) != at for value, at in self.acknowledged.items())

    def missed(self, consumer):
        """Of the consumer that ran along, by partition and offset: how many acknowledged messages it did not get, and
        how many it got that nobody was told of."""
        seen = set()
        for event in events(consumer):
            if event.get("name") == "records_consumed":
                for batch in event["partitions"]:
                    if batch["count"] == batch["maxOffset"] - batch["minOffset"] + 1:
                        seen.update((batch["partition"], at) for at in range(batch["minOffset"], batch["maxOffset"] + 1))
        acknowledged = set(self.acknowledged.values())
        return len(acknowledged - seen), len(seen - acknowledged)

    def misplaced(self):
        """How many messages were given an offset below that of one with a lower number."""
        last, count = {}, 0
        for _, (partition, offset) in sorted(self.acknowledged.items()):
            count += offset <= last.get(partition, -1)
            last[partition] = max(offset, last.get(partition, -1))
        return count

    def good(self):
        return bool(self.acknowledged) and not (self.lost or self.twice or self.disordered)

    def say(self):
        return (
            f"{len(self.acknowledged):,} acknowledged, {len(self.refused_ms)} refused, {self.lost} lost, "
            f"{self.twice} twice, {self.disordered} out of order within a partition"
        )


def events(path):
    """The JSON lines of one of Kafka's verifiable tools, past what else is printed there."""
    for line in open(path):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def longest(times_ms, start_ms, end_ms):
    """The longest time between two neighbours that reaches into the span; None where there is none."""
    pairs = zip(times_ms, times_ms[1:])
    return max((b - a for a, b in pairs if b >= start_ms and a < end_ms), default=None)


# What brokers say: the controller on who is gone, leaders on whom they no longer count, a client on its session.
GONE = re.compile(r"deleted brokers: ([\d,]*), bounced brokers: ([\d,]*)")
SHRUNK = re.compile(r"Shrinking ISR from ([\d,]+) to ([\d,]+)")
EXPIRED = re.compile(r"ZooKeeperClient .*Session expired")


def numbers(text):
    return {int(word) for word in text.split(",") if word}


def journal(out):
    """(time in ms, kind, broker, who says so) of what happened to brokers, from their own journals."""
    found = []
    for host in (1, 2, 3):
        for line in open(f"{out}/kafka{host}.log", errors="replace"):
            stamp = line.split(" ", 1)[0]
            if not re.fullmatch(r"\d+\.\d+", stamp):
                continue
            at_ms = float(stamp) * 1000
            if match := GONE.search(line):
                gone = numbers(match[1]) | numbers(match[2])
                found += [(at_ms, "fenced", broker, host) for broker in gone]
            elif match := SHRUNK.search(line):
                found += [(at_ms, "shrunk", b, host) for b in numbers(match[1]) - numbers(match[2])]
            elif EXPIRED.search(line):
                found.append((at_ms, "expired", host, host))
    return found


def run_of_events(out, engine):
    account = Account(f"{out}/produced", f"{out}/consumed")
    missed, more = account.missed(f"{out}/consumer")
    told = f"{account.say()}; {missed} did not reach the consumer that ran along"
    if not account.read:
        account.lost, account.twice, account.disordered = missed, more, account.misplaced()
        told = f"{account.say()}, all by the offsets the producer was told and the consumer that ran along got: reading back at the end failed"
    consumed_ms = sorted(
        e["timestamp"] for e in events(f"{out}/consumer") if e.get("name") == "records_consumed" and e["count"]
    )
    brokers = journal(out)
    rows = []
    for line in open(f"{out}/events"):
        event = json.loads(line)
        span = event["start_ms"], event["end_ms"]
        # What a broker says of the others while it is cut off itself does not count.
        innocent = lambda kind: sum(
            k == kind and span[0] <= at < span[1] and not {broker, host} & set(event["struck"])
            for at, k, broker, host in brokers
        )
        rows.append({
            "name": event["name"],
            "took_ms": span[1] - span[0],
            "load": event["load"],
            "gap_ms": longest(account.times_ms, *span),
            "read_gap_ms": longest(consumed_ms, *span),
            "refused": sum(span[0] <= at < span[1] for at in account.refused_ms),
            "create": event["create"],
            "move": event["move"],
            "struck": event["struck"],
            "fenced": innocent("fenced"),
            "expired": innocent("expired"),
            "shrunk": innocent("shrunk"),
        })
    result = {"engine": engine, "good": account.good() and not missed, "account": told, "events": rows}
    json.dump(result, open(f"{out}/result.json", "w"), indent=1)
    for row in rows:
        print(json.dumps(row))
    print(told)
    return result["good"] and all(row["create"][0] and row["move"][0] and not row["fenced"] for row in rows)


def spans(produced, consumed, path):
    account = Account(produced, consumed)
    for line in open(path):
        start_ms, end_ms, name = line.split()
        gap = longest(account.times_ms, int(start_ms), int(end_ms))
        print(f"{name:20} {int(end_ms) - int(start_ms):6} ms, longest gap {gap} ms")
    print(account.say())
    return account.good() and not account.refused_ms


def partitions_told():
    """What `coordinator brokers` says; nothing where it could not be asked."""
    text = sys.stdin.read()
    return json.loads(text)["partitions"] if text.startswith("{") else []


def in_sync(partition):
    return sorted(partition["isr"] or []) == sorted(partition["replicas"])


def arrived(partitions, place):
    found = [p for p in partitions if p["topic"] == "moves"]
    return bool(found) and all(p["replicas"] == [int(b) for b in place.split(",")] and in_sync(p) for p in found)


match sys.argv[1:]:
    case ["spans", produced, consumed, path]:
        good = spans(produced, consumed, path)
    case ["events", out, engine]:
        good = run_of_events(out, engine)
    case ["whole", *place]:
        partitions = partitions_told()
        good = bool(partitions) and all(map(in_sync, partitions)) and all(arrived(partitions, p) for p in place)
    case ["arrived", place]:
        good = arrived(partitions_told(), place)
    case _:
        sys.exit(__doc__)
sys.exit(not good)
