"""Measures the dedup memory: what many remembered identities cost beside none, on the same events in one run.

Called by dedup.sh. A database is seeded once and copied for each measurement. The events are written while a
transaction of ours is open before them in each partition, so that the aggregator, which reads committed records
only, sees none of them: it loads its memory, is ready, its CPU time is taken, the transaction is aborted, and
all the events are there at once. So loading is not mixed into the cost of an event. Memory is the peak of
RssAnon from the first moment on, loading and catching up included.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from confluent_kafka import Producer
from figures import Figure, conclude, judge, print_table
from stand import (Aggregator, Psql, bytes_below, check_totals, conninfo_of, cpu_seconds, create_topic, delete_topic,
                   drop_database, expected_totals, first_record_times, fresh_database, make_catalogue, parse_arguments,
                   run_sql, write_events, write_json)

JUDGED_FROM = 100_000_000
PARTITIONS = 8
WORKERS = 2
RESTART_RECORDS = 20_000
HOT_MB = 1_000_000  # of budget: everything stays in memory


class Gate:
    """A transaction that is open in every partition: committed readers see nothing behind it."""

    def __init__(self, brokers, topic):
        self.producer = Producer({"bootstrap.servers": brokers, "transactional.id": f"gate-{topic}",
                                  "transaction.timeout.ms": 900_000, "linger.ms": 0, "log_level": 3})
        self.producer.init_transactions(60)
        self.producer.begin_transaction()
        for partition in range(PARTITIONS):
            self.producer.produce(topic, b"{}", key=b"gate", partition=partition)
        if self.producer.flush(60):
            raise RuntimeError("the broker did not take the records of the gate")

    def open(self):
        self.producer.abort_transaction(60)


def start(arguments, name, options, log_name):
    return Aggregator(arguments, name, "--instance", "bench", "--workers", str(WORKERS), *options, log_name=log_name)


def owns_everything(aggregator):
    """Ready, and each worker holds its share: nothing moves any more."""
    return lambda: aggregator.holds(PARTITIONS)


def claim_and_seed(arguments):
    """The databases `nothing` and `everything`: claimed by an aggregator on an empty topic, one of them seeded."""
    create_topic(arguments, "nothing", "--partitions", str(PARTITIONS))
    make_catalogue(arguments)
    fresh_database(arguments, "nothing")
    claimer = start(arguments, "nothing", [], "claim")
    try:
        claimer.wait(owns_everything(claimer))
    finally:
        claimer.stop()
    run_sql(arguments, arguments.conninfo, "CREATE DATABASE everything TEMPLATE nothing")
    print(f"==> seeding {arguments.identities:,} identities", flush=True)
    done = subprocess.run([f"{arguments.bin}/seed_memory", "--database", conninfo_of(arguments, "everything"),
                           "--identities", str(arguments.identities)], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PGOPTIONS": "-c synchronous_commit=off"})  # a crash: seed again
    seeded = json.loads(done.stdout)
    print(f"  {seeded['seconds']:.0f} s, {seeded['rollups']:,} rows after roll-up ({seeded['segments']:,} not rolled "
          f"up), {seeded['bytes_per_identity']:.2f} bytes each", flush=True)
    return seeded


class Scene:
    """A copy of one of the two databases, and a topic of its own."""

    def __init__(self, arguments, name, source):
        self.arguments, self.name = arguments, name
        run_sql(arguments, arguments.conninfo, f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        run_sql(arguments, conninfo_of(arguments, name), f"UPDATE tally.deployment SET topic = '{name}'")
        create_topic(arguments, name, "--partitions", str(PARTITIONS))
        self.psql = Psql(arguments.psql, conninfo_of(arguments, name))
        self.written = 0

    def consumed(self):
        return int(self.psql.value("SELECT coalesce(sum(consumed), 0) FROM tally.ledger"))

    def write(self, records, seed, folder):
        write_events(self.arguments, self.name, records, "--seed", str(seed), folder=folder)
        self.written += records

    def close(self):
        self.psql.close()
        drop_database(self.arguments, self.name)
        delete_topic(self.arguments, self.name)


def measure(scene, aggregator, gate):
    """The cost of the events behind the gate."""
    aggregator.wait(owns_everything(aggregator))
    loaded = time.time()
    loading_cpu = cpu_seconds(aggregator.process.pid)
    loaded_peak = aggregator.peak_mb()
    gate.open()
    aggregator.wait(lambda: scene.consumed() >= scene.written)
    ended = time.time()
    cpu = cpu_seconds(aggregator.process.pid) - loading_cpu
    first = min(first_record_times(aggregator.log_path))
    problem = check_totals(scene.psql, expected_totals(scene.arguments))
    return {"cpu_per_million": cpu / (scene.written / 1e6), "rate": scene.written / (ended - first),
            "loading_seconds": loaded - aggregator.started, "loading_cpu": loading_cpu,
            "loaded_peak_mb": loaded_peak, "problem": problem}


def restart(arguments, scene, options, log_name, seed):
    """Seconds from the start until every worker has records again. The one before was killed."""
    scene.write(RESTART_RECORDS, seed, f"{arguments.dir}/restart")
    aggregator = start(arguments, scene.name, options, log_name)
    try:
        aggregator.wait(lambda: scene.consumed() >= scene.written)
        firsts = first_record_times(aggregator.log_path)
        if len(firsts) != WORKERS:
            raise RuntimeError(f"{len(firsts)} of {WORKERS} workers consumed; see {aggregator.log_path}")
        return {"seconds": max(firsts) - aggregator.started, "peak_mb": aggregator.peak_mb()}
    finally:
        aggregator.stop(signal.SIGKILL)


def run_one(arguments, kind, number):
    """One measurement of `empty`, `hot` or `budget`; in the first round the restarts too."""
    name = f"{kind}{number}"
    cache = f"{arguments.dir}/cache"
    options = {"empty": [], "hot": ["--dedup-memory-mb", str(HOT_MB)],
               "budget": ["--dedup-memory-mb", str(arguments.budget_mb), "--cache-folder", cache]}[kind]
    scene = Scene(arguments, name, "nothing" if kind == "empty" else "everything")
    gate = Gate(arguments.brokers, name)
    scene.write(arguments.records, 1, arguments.dir)
    aggregator = start(arguments, name, options, name)
    try:
        found = measure(scene, aggregator, gate)
        found["peak_mb"] = aggregator.peak_mb()
        found["cache_bytes"] = bytes_below(cache)
    finally:
        aggregator.stop(signal.SIGKILL)
    if kind == "hot" and number == 1:
        found["restart_without_cache"] = restart(arguments, scene, options, f"{name}-restart", 101)
    if kind == "budget" and number == 1:
        found["restart_with_cache"] = restart(arguments, scene, options, f"{name}-restart", 101)
        shutil.rmtree(cache)
        found["restart_without_cache"] = restart(arguments, scene, options, f"{name}-restart-bare", 102)
    shutil.rmtree(cache, ignore_errors=True)
    scene.close()
    print(f"  round {number}, {kind}: loaded in {found['loading_seconds']:.1f} s, {found['cpu_per_million']:.2f} "
          f"CPU-s per M, {found['rate']:,.0f} events/s, peak RssAnon {found['peak_mb']:,.0f} MB "
          f"({found['loaded_peak_mb']:,.0f} while loading), "
          + (f"WRONG: {found['problem']}" if found["problem"] else "totals exact"), flush=True)
    return found


def figures(seeded, runs):
    def peak(kind):
        restarts = [value["peak_mb"] for run in runs[kind] for key, value in run.items() if key.startswith("restart")]
        return max([run["peak_mb"] for run in runs[kind]] + restarts)

    def ratio(kind):
        return statistics.median(run["cpu_per_million"] / empty["cpu_per_million"]
                                 for run, empty in zip(runs[kind], runs["empty"]))
    hot, budget = runs["hot"][0], runs["budget"][0]
    return [
        Figure("peak RssAnon, all hot", 2400, peak("hot"), "MB", 0),
        Figure("peak RssAnon, under the budget", 400, peak("budget"), "MB", 0),
        Figure("CPU per event, all hot, against none", 1.25, ratio("hot"), "times", 2),
        Figure("CPU per event, under the budget, against none", 1.6, ratio("budget"), "times", 2),
        Figure("Postgres per identity", 20, seeded["bytes_per_identity"], "bytes", 2),
        Figure("restart with the local cache", 10, budget["restart_with_cache"]["seconds"], "s", 1),
        Figure("restart without it, all hot", 60, hot["restart_without_cache"]["seconds"], "s", 1),
        Figure("restart without it, under the budget", 60, budget["restart_without_cache"]["seconds"], "s", 1),
    ]


def report(arguments, seeded, runs):
    """Prints the tables, writes the JSON; which figures were missed."""
    rows = [("", "CPU-s per M events", "events/s", "loading s", "loading CPU-s", "peak RssAnon MB", "cache MB")]
    for kind, found in runs.items():
        def middle(key, found=found):
            return statistics.median(run[key] for run in found)
        rows.append((kind, f"{middle('cpu_per_million'):.2f}", f"{middle('rate'):,.0f}",
                     f"{middle('loading_seconds'):.1f}", f"{middle('loading_cpu'):.1f}",
                     f"{max(run['peak_mb'] for run in found):,.0f}", f"{middle('cache_bytes') / 1e6:,.0f}"))
    print_table(rows)
    missed, out = judge(figures(seeded, runs), judged=arguments.identities >= JUDGED_FROM)
    write_json(arguments, {"identities": arguments.identities, "records": arguments.records, "figures": out,
                           "budget_mb": arguments.budget_mb, "seeded": seeded, "runs": runs})
    return missed


def main():
    arguments = parse_arguments(["identities", "records", "rounds", "budget-mb"])
    seeded = claim_and_seed(arguments)
    runs = {"empty": [], "hot": [], "budget": []}
    for number in range(1, arguments.rounds + 1):
        for kind, found in runs.items():
            found.append(run_one(arguments, kind, number))
    missed = report(arguments, seeded, runs)
    wrong = [run["problem"] for found in runs.values() for run in found if run["problem"]]
    few = arguments.identities < JUDGED_FROM
    return conclude("dedup", wrong, missed,
                    f"the bars are for {JUDGED_FROM:,} identities and do not apply" if few else None)


if __name__ == "__main__":
    sys.exit(main())
