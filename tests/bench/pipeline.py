"""Runs the bare consumer and the aggregator over one topic, alternating, and prints the ratio.

Called by pipeline.sh. The aggregator is timed from the first record delivered to the last commit visible to
another connection; joining the group is shown apart. Each run of it starts with an empty database, and its
totals are checked against the generator's.
"""

import json
import statistics
import subprocess
import sys
import time

from figures import Figure, conclude, judge, print_table
from flame import Profile, shares_table, write_flames
from stand import (Aggregator, Psql, check_totals, cpu_seconds, create_topic, drop_database, expected_totals,
                   first_record_times, fresh_database, parse_arguments, partitions_of, tree_cpu_seconds, write_events,
                   write_json)

TOPIC = "bench.events"
CONSUMED = "SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state"
# Wide: an hour has 600,000 windows, and two hours some 20 times those of the plain stream's day.
GENERATOR = {"plain": ["--tenants", "1000"],
             "wide": ["--tenants", "10000", "--dimensions", "1", "--dimension-values", "20", "--hours", "2"]}


def run_bare(arguments):
    before = cpu_seconds(arguments.kafka_pid)
    done = subprocess.run([f"{arguments.bin}/bare_consumer", arguments.brokers, TOPIC, str(arguments.records)],
                          check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    found["broker_cpu"] = cpu_seconds(arguments.kafka_pid) - before
    found["rate"] = found["records"] / found["seconds"]
    return found


def run_aggregator(arguments, number, expected):
    name = f"bench{number}"
    conninfo = fresh_database(arguments, name)
    psql = Psql(arguments.psql, conninfo)
    psql.execute("CHECKPOINT")
    kafka_before = cpu_seconds(arguments.kafka_pid)
    postgres_before = tree_cpu_seconds(arguments.postgres_pid)
    aggregator = Aggregator(arguments, name, topic=TOPIC)
    try:
        aggregator.wait(lambda: int(psql.value(CONSUMED)) >= arguments.records)
        ended = time.time()
        found = {"cpu_seconds": cpu_seconds(aggregator.process.pid),
                 "postgres_cpu_to_last_commit": tree_cpu_seconds(arguments.postgres_pid) - postgres_before,
                 "broker_cpu": cpu_seconds(arguments.kafka_pid) - kafka_before}
        psql.execute("CHECKPOINT")  # what the run left to be written is a part of what it cost
        found["postgres_cpu"] = tree_cpu_seconds(arguments.postgres_pid) - postgres_before
        found["dedup_mb"] = aggregator.dedup_bytes() / 1e6
        found["peak_mb"] = aggregator.peak_mb()
        found["problem"] = check_totals(psql, expected)
        found["windows"] = int(psql.value("SELECT count(*) FROM tally.usage_window"))
    finally:
        psql.close()
        aggregator.stop()
    drop_database(arguments, name)
    first = min(first_record_times(aggregator.log_path))
    return {**found, "rate": arguments.records / (ended - first), "seconds": ended - first,
            "joining": first - aggregator.started}


def run_profiled(arguments, expected):
    """One run under perf, from the moment that all partitions are owned; nothing of it is judged but its totals."""
    conninfo = fresh_database(arguments, "profiled")
    psql = Psql(arguments.psql, conninfo)
    aggregator = Aggregator(arguments, "profiled", topic=TOPIC)
    try:
        aggregator.wait(lambda: aggregator.holds(partitions_of(arguments)))
        profile = Profile([aggregator.process.pid, arguments.postgres_pid], f"{arguments.dir}/perf.data")
        aggregator.wait(lambda: int(psql.value(CONSUMED)) >= arguments.records)
        stacks = profile.stop()
        problem = check_totals(psql, expected)
    finally:
        psql.close()
        aggregator.stop()
    drop_database(arguments, "profiled")
    return stacks, problem


def profile(arguments, expected):
    run_bare(arguments)  # the broker's Java machine compiles meanwhile
    stacks, problem = run_profiled(arguments, expected)
    path = arguments.json.replace(".json", "_flames.svg")
    write_flames(path, f"tally-aggregator and Postgres, {arguments.shape} stream, {arguments.records:,} events: "
                       f"{sum(stacks.values()):,} samples of the CPU's clock", stacks)
    print("\n" + shares_table(stacks))
    print(f"\n  drawn in {path.rpartition('.tally/')[2]}; its place in the docs is docs/performance")
    return conclude("pipeline", [problem] if problem else [], [], "a profiled run is held against no bar")


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def ratio_of(bare, tally):
    """The aggregator's rate, of the bare consumer's in the same round; the median of all rounds."""
    return statistics.median(one["rate"] / floor["rate"] for floor, one in zip(bare, tally))


def alternate(rounds, read_bare, read_tally):
    """Both runs of each round. The first bare read is no part of any: the broker's Java machine compiles meanwhile."""
    read_bare()
    for number in range(rounds):
        yield read_bare(), read_tally(number)


def figures(arguments, bare, tally):
    million = arguments.records / 1e6
    ratio = ratio_of(bare, tally)
    postgres = median(tally, "postgres_cpu") / million
    if arguments.shape == "wide":
        return [Figure("events/s, of the bare consumer's", 0.12, ratio, "", 3, least=True),
                Figure("Postgres", 4, postgres, "CPU-s per M", 2)]
    return [Figure("the aggregator", 1.1, median(tally, "cpu_seconds") / million, "CPU-s per M", 2),
            Figure("Postgres", 0.4, postgres, "CPU-s per M", 2),
            Figure("events/s, of the bare consumer's", 0.42, ratio, "", 3, least=True),
            Figure("peak RssAnon without the dedup memory", 700,
                   max(run["peak_mb"] - run["dedup_mb"] for run in tally), "MB", 0)]


def report(arguments, bare, tally):
    """Prints the tables, writes the JSON; which figures were missed."""
    million = arguments.records / 1e6
    rows = [("", "events/s (median)", "CPU-s per M", "broker CPU-s per M", "Postgres CPU-s per M", "peak RssAnon MB",
             "dedup MB"),
            ("bare consumer", f"{median(bare, 'rate'):,.0f}", f"{median(bare, 'cpu_seconds') / million:.2f}",
             f"{median(bare, 'broker_cpu') / million:.2f}", "-", "-", "-"),
            ("aggregator", f"{median(tally, 'rate'):,.0f}", f"{median(tally, 'cpu_seconds') / million:.2f}",
             f"{median(tally, 'broker_cpu') / million:.2f}", f"{median(tally, 'postgres_cpu') / million:.2f}",
             f"{max(run['peak_mb'] for run in tally):,.0f}", f"{median(tally, 'dedup_mb'):,.0f}")]
    print_table(rows)
    print(f"\n  joining the group took {median(tally, 'joining'):.1f} s (median), not counted above; "
          f"{tally[0]['windows']:,} windows")
    late = statistics.median(run["postgres_cpu"] - run["postgres_cpu_to_last_commit"] for run in tally) / million
    print(f"  of Postgres' CPU-s per M {late:.2f} are a checkpoint after the last commit")
    missed, out = judge(figures(arguments, bare, tally))
    write_json(arguments, {"shape": arguments.shape, "records": arguments.records, "rounds": arguments.rounds,
                           "ratio": ratio_of(bare, tally), "figures": out, "bare": bare,
                           "aggregator": tally})
    return missed


def main():
    arguments = parse_arguments(["records", "rounds"], {"shape": ["plain", "wide"], "what": ["rounds", "profile"]})
    if arguments.shape != "plain":
        arguments.json = arguments.json.replace("pipeline.json", f"pipeline_{arguments.shape}.json")
    print(f"==> writing {arguments.records:,} records", flush=True)
    create_topic(arguments, TOPIC)
    write_events(arguments, TOPIC, arguments.records, *GENERATOR[arguments.shape])
    expected = expected_totals(arguments)
    if arguments.what == "profile":
        return profile(arguments, expected)
    bare, tally = [], []
    for floor, counted in alternate(arguments.rounds, lambda: run_bare(arguments),
                                    lambda number: run_aggregator(arguments, number, expected)):
        bare.append(floor)
        tally.append(counted)
        print(f"  round {len(tally)} of {arguments.rounds}: bare {bare[-1]['rate']:,.0f} events/s, aggregator "
              f"{tally[-1]['rate']:,.0f} events/s" + (f", WRONG: {tally[-1]['problem']}" if tally[-1]["problem"] else
                                                       ", totals exact"), flush=True)
    missed = report(arguments, bare, tally)
    return conclude("pipeline", [run["problem"] for run in tally if run["problem"]], missed)


if __name__ == "__main__":
    sys.exit(main())
