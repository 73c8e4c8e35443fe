"""Runs the bare consumer and the aggregator over one topic, alternating, and prints the ratio.

Called by pipeline.sh. The aggregator is timed from the first record delivered to the last commit visible to
another connection; joining the group is shown apart. Each run of it starts with an empty database, and its
totals are checked against the generator's.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from decimal import Decimal

BAR = 0.25
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def tree_cpu_seconds(pid):
    total = cpu_seconds(pid)
    for child in children_of(pid):
        try:
            total += cpu_seconds(child)
        except FileNotFoundError:
            pass  # it ended: its time is in the parent's share now
    return total


class PeakMemory(threading.Thread):
    """Peak RssAnon of a process, in MiB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            try:
                with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
                    for line in file:
                        if line.startswith("RssAnon:"):
                            self.peak = max(self.peak, int(line.split()[1]) / 1024)
            except FileNotFoundError:
                return


class Psql:
    """One psql kept open: a query costs no process and no connection."""

    def __init__(self, psql, conninfo):
        self.process = subprocess.Popen([psql, "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def value(self, sql):
        self.process.stdin.write(f"SELECT coalesce(({sql})::text, 'null');\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("psql ended")
        return line.strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_bare(arguments):
    before = cpu_seconds(arguments.kafka_pid)
    done = subprocess.run([f"{arguments.bin}/bare_consumer", arguments.brokers, "bench.events",
                           str(arguments.records)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    found["broker_cpu"] = cpu_seconds(arguments.kafka_pid) - before
    found["rate"] = found["records"] / found["seconds"]
    return found


def fresh_database(arguments, name):
    base = arguments.conninfo
    subprocess.run([arguments.psql, "-Xq", base, "-c", f"CREATE DATABASE {name}"], check=True)
    conninfo = base.replace("dbname=tally", f"dbname={name}")
    environment = {**os.environ, "TALLY_DATABASE": conninfo}
    for command in (["migrate"], ["apply", f"{arguments.dir}/bench-catalogue.json"]):
        subprocess.run([f"{arguments.bin}/tally-admin", *command], check=True, env=environment,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return conninfo


def first_record_time(log_path):
    with open(log_path, encoding="utf-8") as file:
        for line in file:
            if '"first_record"' in line:
                return int(json.loads(line)["at_us"]) / 1e6
    return None


def run_aggregator(arguments, number, expected):
    name = f"bench{number}"
    conninfo = fresh_database(arguments, name)
    log_path = f"{arguments.dir}/log/aggregator{number}.log"
    psql = Psql(arguments.psql, conninfo)
    kafka_before = cpu_seconds(arguments.kafka_pid)
    postgres_before = tree_cpu_seconds(arguments.postgres_pid)
    started = time.time()
    with open(log_path, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [f"{arguments.bin}/tally-aggregator", "--brokers", arguments.brokers, "--topic", "bench.events",
             "--group", name, "--database", conninfo, "--listen", "127.0.0.1:0"],
            stderr=log, env={**os.environ, "TALLY_LOG": "json"})
    memory = PeakMemory(process.pid)
    deadline = time.monotonic() + 600
    while int(psql.value("SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state")) < arguments.records:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the aggregator did not finish; see {log_path}")
        time.sleep(0.02)
    ended = time.time()
    aggregator_cpu = cpu_seconds(process.pid)
    postgres_cpu = tree_cpu_seconds(arguments.postgres_pid) - postgres_before
    kafka_cpu = cpu_seconds(arguments.kafka_pid) - kafka_before
    problem = check_totals(psql, expected)
    psql.close()
    memory.done.set()
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    subprocess.run([arguments.psql, "-Xq", arguments.conninfo, "-c", f"DROP DATABASE {name} WITH (FORCE)"], check=True)
    first = first_record_time(log_path)
    return {"rate": arguments.records / (ended - first), "seconds": ended - first, "joining": first - started,
            "cpu_seconds": aggregator_cpu, "postgres_cpu": postgres_cpu, "broker_cpu": kafka_cpu,
            "peak_mib": memory.peak, "problem": problem}


def check_totals(psql, expected):
    """What differs from the generator's totals, or None."""
    ledger = psql.value("SELECT sum(counted) || ' ' || sum(duplicate) || ' ' || sum(consumed) FROM tally.ledger")
    wanted = f"{expected['classes']['counted']} {expected['classes']['duplicate']} {expected['records']}"
    if ledger != wanted:
        return f"ledger: counted, duplicate, consumed are {ledger}, the generator's {wanted}"
    for meter, planned in expected["meters"].items():
        total = psql.value(f"SELECT sum(quantity) FROM tally.usage_window WHERE meter = '{meter}'")
        if total == "null" or Decimal(total) != Decimal(planned["total"]):
            return f"meter {meter}: {total}, the generator's {planned['total']}"
    return None


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def report(arguments, bare, tally):
    million = arguments.records / 1e6
    ratio = median(tally, "rate") / median(bare, "rate")
    rows = [("", "events/s (median)", "CPU-s per M", "broker CPU-s per M", "Postgres CPU-s per M", "peak RssAnon MiB"),
            ("bare consumer", f"{median(bare, 'rate'):,.0f}", f"{median(bare, 'cpu_seconds') / million:.2f}",
             f"{median(bare, 'broker_cpu') / million:.2f}", "-", "-"),
            ("aggregator", f"{median(tally, 'rate'):,.0f}", f"{median(tally, 'cpu_seconds') / million:.2f}",
             f"{median(tally, 'broker_cpu') / million:.2f}", f"{median(tally, 'postgres_cpu') / million:.2f}",
             f"{max(run['peak_mib'] for run in tally):,.0f}")]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  " + "  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]))
    print(f"\n  joining the group took {median(tally, 'joining'):.1f} s (median), not counted above")
    figures = {"ratio": ratio, "records": arguments.records, "rounds": arguments.rounds, "bare": bare,
               "aggregator": tally, "bar": BAR}
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=2)
    return ratio


def main():
    parser = argparse.ArgumentParser()
    for name in ("bin", "dir", "psql", "conninfo", "brokers", "json"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("records", "rounds", "postgres-pid", "kafka-pid"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    with open(f"{arguments.dir}/expected.json", encoding="utf-8") as file:
        expected = json.load(file)
    bare, tally = [], []
    for number in range(arguments.rounds):
        bare.append(run_bare(arguments))
        tally.append(run_aggregator(arguments, number, expected))
        print(f"  round {number + 1} of {arguments.rounds}: bare {bare[-1]['rate']:,.0f} events/s, aggregator "
              f"{tally[-1]['rate']:,.0f} events/s" + (f", WRONG: {tally[-1]['problem']}" if tally[-1]["problem"] else
                                                       ", totals exact"), flush=True)
    ratio = report(arguments, bare, tally)
    wrong = [run["problem"] for run in tally if run["problem"]]
    if wrong:
        print(f"bench pipeline: the totals are wrong: {wrong[0]}.")
        return 1
    held = ratio >= BAR
    print(f"bench pipeline: the aggregator reaches {ratio:.3f} of the bare consumer with exact totals; the bar is "
          f"{BAR}: {'met' if held else 'MISSED'}.")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
