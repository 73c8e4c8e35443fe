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
import time

from stand import (PeakMemory, Psql, check_totals, cpu_seconds, drop_database, first_record_times,
                   fresh_database, print_table, tree_cpu_seconds, wait_until)

BAR = 0.25


def run_bare(arguments):
    before = cpu_seconds(arguments.kafka_pid)
    done = subprocess.run([f"{arguments.bin}/bare_consumer", arguments.brokers, "bench.events",
                           str(arguments.records)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    found["broker_cpu"] = cpu_seconds(arguments.kafka_pid) - before
    found["rate"] = found["records"] / found["seconds"]
    return found


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
    wait_until(process, log_path, lambda: int(psql.value(
        "SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state")) >= arguments.records)
    ended = time.time()
    aggregator_cpu = cpu_seconds(process.pid)
    postgres_cpu = tree_cpu_seconds(arguments.postgres_pid) - postgres_before
    kafka_cpu = cpu_seconds(arguments.kafka_pid) - kafka_before
    problem = check_totals(psql, expected)
    psql.close()
    memory.done.set()
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    drop_database(arguments, name)
    first = first_record_times(log_path)[0]
    return {"rate": arguments.records / (ended - first), "seconds": ended - first, "joining": first - started,
            "cpu_seconds": aggregator_cpu, "postgres_cpu": postgres_cpu, "broker_cpu": kafka_cpu,
            "peak_mib": memory.peak / 2**20, "problem": problem}


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
    print_table(rows)
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
