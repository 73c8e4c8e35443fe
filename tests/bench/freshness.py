"""Measures how long after it was published an event can be read in Postgres.

Called by freshness.sh. The generator publishes on a timetable that waits for nobody: record n is due at start +
n / rate, so a pause of the broker or of the generator makes its records late and is seen, not left out. An event's
time begins when it was due (that it waited for the producer's batch and for the broker's answer counts) and ends with
the first look of a second connection, one every 5 ms, that finds next_offset of its partition beyond it; the moment
is taken after the reply. Both clocks are CLOCK_MONOTONIC of one machine. The same from the broker's answer on is
printed beside it. One record of 20 is followed. The events' own times lie within one hour, as those of a live stream
do.
"""

import bisect
import csv
import json
import sys
import threading
import time

from figures import Figure, conclude, judge, percentile, print_table
from stand import (Aggregator, Psql, check_totals, cpu_seconds, create_topic, delete_topic, drop_database,
                   expected_totals, fresh_database, make_catalogue, parse_arguments, partitions_of, tree_cpu_seconds,
                   write_events, write_json)

LOOK_SECONDS = 0.005
DEFAULT_MS = 1000
BARS_MS = {DEFAULT_MS: {"p50": 700, "p99": 1500}, 100: {"p99": 250}}
LEAST_PACE = 0.99  # of the rate: with less the other figures are about another load


def first_beyond(next_offsets, moments, offset):
    """The moment of the first look that found next_offset beyond this record."""
    return moments[bisect.bisect_right(next_offsets, offset)]


class Looks(threading.Thread):
    """When next_offset of each partition was first seen where. `seen` is whole once the thread was joined."""

    def __init__(self, arguments, conninfo):
        super().__init__(daemon=True)
        self.psql = Psql(arguments.psql, conninfo)
        self.seen = {}  # partition: (offsets, moments), both rising
        self.total = 0
        self.replies = []
        self.done = threading.Event()

    def run(self):
        due = time.monotonic()
        while not self.done.is_set():
            text = self.psql.value("SELECT string_agg(partition || ' ' || next_offset, ',') FROM tally.partition_state")
            now = time.monotonic_ns()
            self.replies.append(now)
            total = 0
            for line in text.split(","):
                partition, next_offset = (int(number) for number in line.split(" "))
                total += next_offset
                offsets, moments = self.seen.setdefault(partition, ([], []))
                if not offsets or next_offset > offsets[-1]:
                    offsets.append(next_offset)
                    moments.append(now)
            self.total = total
            due = max(due + LOOK_SECONDS, time.monotonic() - LOOK_SECONDS)  # after a long one no burst
            time.sleep(max(0, due - time.monotonic()))

    def first_beyond(self, partition, offset):
        return first_beyond(*self.seen[partition], offset)

    def longest_gap_ms(self):
        return max(b - a for a, b in zip(self.replies, self.replies[1:])) / 1e6


def spread(values):
    ordered = sorted(values)
    return {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99), "max": ordered[-1]}


def delays(arguments, looks):
    """In milliseconds: due to readable, due to acked, acked to readable."""
    readable, acked, from_acked = [], [], []
    with open(f"{arguments.dir}/published.csv", encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            seen = looks.first_beyond(int(row["partition"]), int(row["offset"]))
            readable.append((seen - int(row["due_ns"])) / 1e6)
            acked.append((int(row["acked_ns"]) - int(row["due_ns"])) / 1e6)
            from_acked.append((seen - int(row["acked_ns"])) / 1e6)
    return {"followed": len(readable), "readable_ms": spread(readable), "acked_ms": spread(acked),
            "readable_after_ack_ms": spread(from_acked)}


def run_one(arguments, interval_ms):
    name = f"interval{interval_ms}"
    records = arguments.rate * arguments.seconds
    print(f"==> {records:,} events, {arguments.rate:,} a second, commit_interval_ms={interval_ms}", flush=True)
    create_topic(arguments, name)
    conninfo = fresh_database(arguments, name)
    # The default is not named: it is what is measured.
    options = [] if interval_ms == DEFAULT_MS else ["--commit-interval-ms", str(interval_ms)]
    aggregator = Aggregator(arguments, name, *options)
    looks = None
    try:
        aggregator.wait(lambda: aggregator.holds(partitions_of(arguments)))
        looks = Looks(arguments, conninfo)
        looks.start()
        before = (cpu_seconds(aggregator.process.pid), tree_cpu_seconds(arguments.postgres_pid))
        write_events(arguments, name, records, "--rate", str(arguments.rate), "--hours", "1")
        aggregator.wait(lambda: looks.total >= records)
        after = (cpu_seconds(aggregator.process.pid), tree_cpu_seconds(arguments.postgres_pid))
    finally:
        if looks:
            looks.done.set()
            looks.join()
        aggregator.stop()
    with open(f"{arguments.dir}/pace.json", encoding="utf-8") as file:
        pace = json.load(file)
    found = {"interval_ms": interval_ms, **delays(arguments, looks), **pace,
             "published_per_second": pace["records"] / pace["seconds"], "longest_gap_ms": looks.longest_gap_ms(),
             "aggregator_cpu_per_million": (after[0] - before[0]) / (records / 1e6),
             "postgres_cpu_per_million": (after[1] - before[1]) / (records / 1e6),
             "problem": check_totals(looks.psql, expected_totals(arguments))}
    looks.psql.close()
    drop_database(arguments, name)
    delete_topic(arguments, name)
    print(f"  {found['published_per_second']:,.0f} events/s were published, at most {pace['behind_max_ms']:,.0f} ms "
          f"behind the timetable; longest time between two looks {found['longest_gap_ms']:,.0f} ms; "
          + (f"WRONG: {found['problem']}" if found["problem"] else "totals exact"), flush=True)
    return found


def figures(arguments, runs):
    out = []
    for run in runs:
        label = f"commit_interval_ms={run['interval_ms']}"
        out += [Figure(f"{label}: readable after, {share}", bar, run["readable_ms"][share], "ms", 0)
                for share, bar in BARS_MS[run["interval_ms"]].items()]
        out.append(Figure(f"{label}: published", round(LEAST_PACE * arguments.rate), run["published_per_second"],
                          "events/s", 0, least=True))
    return out


def report(arguments, runs):
    rows = [("commit_interval_ms", "milliseconds from", "p50", "p99", "max")]
    for run in runs:
        for label, key in (("due to readable", "readable_ms"), ("due to acked", "acked_ms"),
                           ("acked to readable", "readable_after_ack_ms")):
            rows.append((str(run["interval_ms"]), label, *(f"{value:,.0f}" for value in run[key].values())))
    print_table(rows)
    rows = [("commit_interval_ms", "events/s published", "behind at most ms", "aggregator CPU-s per M",
             "Postgres CPU-s per M")]
    for run in runs:
        rows.append((str(run["interval_ms"]), f"{run['published_per_second']:,.0f}", f"{run['behind_max_ms']:,.0f}",
                     f"{run['aggregator_cpu_per_million']:.2f}", f"{run['postgres_cpu_per_million']:.2f}"))
    print_table(rows)
    missed, out = judge(figures(arguments, runs))
    write_json(arguments, {"rate": arguments.rate, "seconds": arguments.seconds, "figures": out, "runs": runs})
    return missed


def main():
    arguments = parse_arguments(["rate", "seconds"])
    make_catalogue(arguments)
    runs = [run_one(arguments, interval_ms) for interval_ms in BARS_MS]
    missed = report(arguments, runs)
    return conclude("freshness", [run["problem"] for run in runs if run["problem"]], missed)


if __name__ == "__main__":
    sys.exit(main())
