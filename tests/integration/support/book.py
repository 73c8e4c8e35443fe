"""What finance would work out by hand from the published events: a naive oracle with Python's own
JSON, Decimal and dictionaries. It shares nothing with the programs under test."""

import json
import random
import re
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal, getcontext

getcontext().prec = 80  # sums stay exact

CATALOGUE = {
    "meters": [
        {"slug": "calls", "event_type": "call", "aggregation": "count",
         "group_by": {"key": "/key"}, "where": [{"field": "/status", "in": ["ok"]}],
         "window": "hour"},
        {"slug": "tokens", "event_type": "chat", "aggregation": "sum", "value": "/tokens",
         "group_by": {"model": "/model"}, "window": "hour"},
        {"slug": "seats", "event_type": "team", "aggregation": "latest", "value": "/seats",
         "window": "hour"},
    ],
    "plans": [],
    "tenants": [],
}


def event_text(event_id, tenant, event_type, data, time=None):
    event = {"specversion": "1.0", "id": event_id, "source": "test", "type": event_type,
             "subject": tenant, "data": data}
    if time is not None:
        event["time"] = time
    # Decimals go out as JSON numbers with all their digits: Python's floats would round them.
    text = json.dumps(event, default=lambda number: f"decimal:{number:f}")
    return re.sub(r'"decimal:([^"]+)"', r"\1", text)


class Book:
    """Takes events in the order of each id; knows totals and classes."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.usage = defaultdict(lambda: [Decimal(0), 0])
        self.readings = defaultdict(list)
        self.classes = Counter()
        self.seen = {}
        self.base = datetime.now(timezone.utc) - timedelta(hours=3)
        self.number = 0
        self.taken = {}
        self.foreign = False  # whether some records were put on another partition than their home

    def take(self, event_id, tenant, event_type, data, moment):
        """One event: kept in the book, and as a record to publish."""
        identity = (tenant, event_type, event_id)
        content = {name: str(value) for name, value in data.items() if name != "note"}
        time = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        record = (event_id, event_text(event_id, tenant, event_type, data, time))
        self.taken[record] = (event_id, tenant, event_type, data, moment)
        if event_type not in ("call", "chat", "team"):
            self.classes["unmetered"] += 1
        elif event_type == "call" and data["status"] != "ok":
            self.classes["filtered"] += 1
        elif identity in self.seen:
            self.classes["duplicate" if self.seen[identity] == content else "conflict"] += 1
        else:
            self.seen[identity] = content
            self.classes["counted"] += 1
            self._count(tenant, event_type, data, moment)
        return record

    def _count(self, tenant, event_type, data, moment):
        hour = moment.strftime("%Y-%m-%d %H:00:00+00")
        if event_type == "team":
            self.readings[(tenant, "seats", hour, "{}")].append((moment, Decimal(data["seats"])))
            return
        if event_type == "call":
            place, amount = (tenant, "calls", hour, f'{{"key":"{data["key"]}"}}'), Decimal(1)
        else:
            place = (tenant, "tokens", hour, f'{{"model":"{data["model"]}"}}')
            amount = Decimal(data["tokens"])
        self.usage[place][0] += amount
        self.usage[place][1] += 1

    def again(self, records):
        """The same records once more: retries, to the last byte."""
        return [self.take(*self.taken[record]) for record in records]

    def stream(self, count, repeats=0.10):
        """Random events: new ones, filtered and unmetered ones, and a share of retries at other
        times and conflicts. Without repeats it does not matter in which order they are read."""
        pick = self.random.choice
        records, recent = [], []
        for _ in range(count):
            dice = self.random.random()
            moment = self.base + timedelta(seconds=self.random.randrange(9000),
                                           microseconds=self.random.randrange(1_000_000))
            if dice < 0.8 * repeats and recent:
                event_id, tenant, kind, data = pick(recent)
                records.append(self.take(event_id, tenant, kind, data, moment))
                continue
            if dice < repeats and recent:
                event_id, tenant, kind, data = pick(recent)
                if kind == "chat":
                    other = dict(data, tokens=data["tokens"] + 1)
                    records.append(self.take(event_id, tenant, kind, other, moment))
                    continue
            self.number += 1
            event_id, tenant = f"r{self.number}", f"tenant-{self.random.randrange(20)}"
            if dice > 0.98:
                records.append(self.take(event_id, tenant, "email", {}, moment))
                continue
            kind = pick(["call", "call", "chat", "chat", "team"])
            data = {"call": {"key": pick("ab"), "status": pick(["ok", "ok", "ok", "error"])},
                    "chat": {"model": pick("xyz"),
                             "tokens": Decimal(self.random.randrange(10**27)) / 10**12},
                    "team": {"seats": self.random.randrange(1000)}}[kind]
            records.append(self.take(event_id, tenant, kind, data, moment))
            recent.append((event_id, tenant, kind, data))
            del recent[:-500]
        return records

    def reject(self, count=1):
        self.classes["rejected"] += count

    def expect(self, scene):
        """Totals, classes and conservation in the database equal the book."""
        self.expect_totals(scene)
        self.expect_classes(scene)

    def expect_totals(self, scene):
        stored = {tuple(row[:4]): [Decimal(row[4]), int(row[5])] for row in scene.query(
            "SELECT tenant, meter, window_start, dimensions, quantity, events "
            "FROM tally.usage_window")}
        expected = {place: list(value) for place, value in self.usage.items()}
        differences = [f"{place}: expected {expected.get(place)}, stored {stored.get(place)}"
                       for place in sorted(expected.keys() | stored.keys())
                       if expected.get(place) != stored.get(place)]
        assert not differences, "\n".join(differences[:10])
        gauges = {tuple(row[:4]): (Decimal(row[4]), int(row[5])) for row in scene.query(
            "SELECT tenant, meter, window_start, dimensions, reading, events "
            "FROM tally.gauge_window")}
        wanted = {place: (max(readings)[1], len(readings))
                  for place, readings in self.readings.items()}
        assert gauges == wanted, f"gauges: {set(gauges.items()) ^ set(wanted.items())}"

    def expect_classes(self, scene):
        names = ["counted", "readmitted", "duplicate", "conflict", "late", "rejected", "unmetered",
                 "filtered", "lost"]
        row = scene.query("SELECT " + ", ".join(f"coalesce(sum({name}), 0)" for name in names) +
                          ", sum(handed_off), sum(received), sum(consumed) FROM tally.ledger")[0]
        stored = {name: int(value) for name, value in zip(names, row)}
        expected = {name: self.classes.get(name, 0) for name in names}
        assert stored == expected, f"classes: expected {expected}, stored {stored}"
        handed_off, received, consumed = map(int, row[-3:])
        assert consumed == sum(self.classes.values()) - self.classes["lost"], row
        waiting = int(scene.value("SELECT coalesce(sum(records), 0) FROM tally.handoff"))
        assert handed_off == received and waiting == 0, (handed_off, received, waiting)
        assert (handed_off > 0) == self.foreign, f"{handed_off} records were handed off"
        done = scene.admin("verify", check=False)
        assert done.returncode == 0, f"tally-admin verify: {done.stdout}{done.stderr}"
