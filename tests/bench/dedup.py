"""Measures the dedup memory: what many remembered identities cost beside none, on the same events in one run.

Called by dedup.sh. A database is seeded once and copied for each measurement. The events are written while a
transaction of ours is open before them in each partition, so that the aggregator, which reads committed records
only, sees none of them: it loads its memory, is ready, its CPU time is taken, the transaction is aborted, and
all the events are there at once. So loading is not mixed into the cost of an event. Memory is the peak of
RssAnon from the first moment on, loading and catching up included.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from stand import (PeakMemory, Psql, check_totals, conninfo_of, cpu_seconds, drop_database,
                   first_record_times, fresh_database, logged, print_table, run_sql, wait_until)

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


class Aggregator:
    """One process of it, watched."""

    def __init__(self, arguments, name, options, log_name):
        self.log_path = f"{arguments.dir}/log/{log_name}.log"
        self.port_file = f"{arguments.dir}/{name}.port"
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.started = time.time()
            self.process = subprocess.Popen(
                [f"{arguments.bin}/tally-aggregator", "--brokers", arguments.brokers, "--topic", name, "--group",
                 name, "--instance", "bench", "--workers", str(WORKERS), "--database",
                 conninfo_of(arguments, name), "--listen", "127.0.0.1:0", "--port-file", self.port_file, *options],
                stderr=log, env={**os.environ, "TALLY_LOG": "json"})
        self.memory = PeakMemory(self.process.pid)

    def wait(self, condition):
        wait_until(self.process, self.log_path, condition)

    def ready(self):
        try:
            with open(self.port_file, encoding="ascii") as file:
                port = int(file.read() or 0)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
                return reply.status == 200
        except (FileNotFoundError, urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def owns_everything(self):
        """Ready, and each worker holds its share: nothing moves any more."""
        held = [line["partition"] for line in logged(self.log_path, "partition_acquired")]
        held_back = len(logged(self.log_path, "partition_revoked"))
        return len(held) - held_back == PARTITIONS and self.ready()

    def peak_mb(self):
        return self.memory.peak / 1e6

    def stop(self, how=signal.SIGTERM):
        self.memory.done.set()
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)



def create_topic(arguments, name):
    subprocess.run([sys.executable, f"{arguments.root}/tests/support/stack/create_topic.py", arguments.brokers,
                    f"{arguments.root}/schemas/topics/usage.events.json", name, "--partitions", str(PARTITIONS)],
                   check=True, stdout=subprocess.DEVNULL)


def write_events(arguments, topic, records, seed, folder):
    os.makedirs(folder, exist_ok=True)
    subprocess.run([f"{arguments.bin}/tally-generator", "bench", "--records", str(records), "--seed", str(seed),
                    "--brokers", arguments.brokers, "--topic", topic, "--out", folder], check=True,
                   stdout=subprocess.DEVNULL, stderr=None if sys.stderr.isatty() else subprocess.DEVNULL)


def claim_and_seed(arguments):
    """The databases `nothing` and `everything`: claimed by an aggregator on an empty topic, one of them seeded."""
    create_topic(arguments, "nothing")
    create_topic(arguments, "scratch")
    write_events(arguments, "scratch", 1, 1, arguments.dir)  # makes the catalogue's file
    fresh_database(arguments, "nothing")
    claimer = Aggregator(arguments, "nothing", [], "claim")
    try:
        claimer.wait(claimer.owns_everything)
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
        create_topic(arguments, name)
        self.psql = Psql(arguments.psql, conninfo_of(arguments, name))
        self.written = 0

    def consumed(self):
        return int(self.psql.value("SELECT coalesce(sum(consumed), 0) FROM tally.ledger"))

    def write(self, records, seed, folder):
        write_events(self.arguments, self.name, records, seed, folder)
        self.written += records

    def close(self):
        self.psql.close()
        drop_database(self.arguments, self.name)
        client = AdminClient({"bootstrap.servers": self.arguments.brokers})
        client.delete_topics([self.name])[self.name].result(30)


def measure(scene, aggregator, gate):
    """The cost of the events behind the gate."""
    aggregator.wait(aggregator.owns_everything)
    loaded = time.time()
    loading_cpu = cpu_seconds(aggregator.process.pid)
    loaded_peak = aggregator.peak_mb()
    gate.open()
    aggregator.wait(lambda: scene.consumed() >= scene.written)
    ended = time.time()
    cpu = cpu_seconds(aggregator.process.pid) - loading_cpu
    first = min(first_record_times(aggregator.log_path))
    with open(f"{scene.arguments.dir}/expected.json", encoding="utf-8") as file:
        problem = check_totals(scene.psql, json.load(file))
    return {"cpu_per_million": cpu / (scene.written / 1e6), "rate": scene.written / (ended - first),
            "loading_seconds": loaded - aggregator.started, "loading_cpu": loading_cpu,
            "loaded_peak_mb": loaded_peak, "problem": problem}


def restart(arguments, scene, options, log_name, seed):
    """Seconds from the start until every worker has records again. The one before was killed."""
    scene.write(RESTART_RECORDS, seed, f"{arguments.dir}/restart")
    aggregator = Aggregator(arguments, scene.name, options, log_name)
    try:
        aggregator.wait(lambda: scene.consumed() >= scene.written)
        firsts = first_record_times(aggregator.log_path)
        if len(firsts) != WORKERS:
            raise RuntimeError(f"{len(firsts)} of {WORKERS} workers consumed; see {aggregator.log_path}")
        return {"seconds": max(firsts) - aggregator.started, "peak_mb": aggregator.peak_mb()}
    finally:
        aggregator.stop(signal.SIGKILL)


def bytes_below(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def run_one(arguments, kind, number):
    """One measurement of `empty`, `hot` or `budget`; in the first round the restarts too."""
    name = f"{kind}{number}"
    cache = f"{arguments.dir}/cache"
    options = {"empty": [], "hot": ["--dedup-memory-mb", str(HOT_MB)],
               "budget": ["--dedup-memory-mb", str(arguments.budget_mb), "--cache-folder", cache]}[kind]
    scene = Scene(arguments, name, "nothing" if kind == "empty" else "everything")
    gate = Gate(arguments.brokers, name)
    scene.write(arguments.records, 1, arguments.dir)
    aggregator = Aggregator(arguments, name, options, name)
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
    """(what, bar, measured, unit, digits), each to be at most its bar."""
    def peak(kind):
        restarts = [value["peak_mb"] for run in runs[kind] for key, value in run.items() if key.startswith("restart")]
        return max([run["peak_mb"] for run in runs[kind]] + restarts)

    def ratio(kind):
        return statistics.median(run["cpu_per_million"] / empty["cpu_per_million"]
                                 for run, empty in zip(runs[kind], runs["empty"]))
    hot, budget = runs["hot"][0], runs["budget"][0]
    return [
        ("peak RssAnon, all hot", 2400, peak("hot"), "MB", 0),
        ("peak RssAnon, under the budget", 400, peak("budget"), "MB", 0),
        ("CPU per event, all hot, against none", 1.25, ratio("hot"), "times", 2),
        ("CPU per event, under the budget, against none", 1.6, ratio("budget"), "times", 2),
        ("Postgres per identity", 20, seeded["bytes_per_identity"], "bytes", 2),
        ("restart with the local cache", 10, budget["restart_with_cache"]["seconds"], "s", 1),
        ("restart without it, all hot", 60, hot["restart_without_cache"]["seconds"], "s", 1),
        ("restart without it, under the budget", 60, budget["restart_without_cache"]["seconds"], "s", 1),
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
    judged = arguments.identities >= JUDGED_FROM
    rows, missed, out = [("figure", "at most", "measured", "")], [], []
    for what, bar, measured, unit, digits in figures(seeded, runs):
        held = measured <= bar
        if judged and not held:
            missed.append(what)
        verdict = ("held" if held else "MISSED") if judged else "not judged"
        rows.append((what, f"{bar:,} {unit}", f"{measured:,.{digits}f} {unit}", verdict))
        out.append({"figure": what, "bar": bar, "measured": measured, "unit": unit,
                    "held": held if judged else None})
    print_table(rows)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump({"identities": arguments.identities, "records": arguments.records, "figures": out,
                   "budget_mb": arguments.budget_mb, "seeded": seeded, "runs": runs}, file, indent=2)
    return missed


def main():
    parser = argparse.ArgumentParser()
    for name in ("bin", "dir", "root", "psql", "conninfo", "brokers", "json"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("identities", "records", "rounds", "budget-mb"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    seeded = claim_and_seed(arguments)
    runs = {"empty": [], "hot": [], "budget": []}
    for number in range(1, arguments.rounds + 1):
        for kind, found in runs.items():
            found.append(run_one(arguments, kind, number))
    missed = report(arguments, seeded, runs)
    wrong = [run["problem"] for found in runs.values() for run in found if run["problem"]]
    if wrong:
        print(f"\nbench dedup: the totals are wrong: {wrong[0]}.")
        return 1
    if missed:
        print(f"\nbench dedup: totals exact, but missed: {'; '.join(missed)}.")
        return 1
    if arguments.identities < JUDGED_FROM:
        print(f"\nbench dedup: totals exact; the bars are for {JUDGED_FROM:,} identities and do not apply.")
    else:
        print("\nbench dedup: every figure is held, with exact totals.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
