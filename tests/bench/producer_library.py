"""The client library: how long record() takes on a timetable, and what of a bare librdkafka's pace is left.

Paced: 4 threads record 200,000 events/s together at level memory, each its share of every millisecond, without ids of
their own, so that each call makes one. The time of a call is taken around it and holds one look at the clock.
Unpaced: 4 threads of the library and of bare librdkafka (the same JSON, the same settings), alternating; the time runs
to the last delivery. Each round has a topic of its own, and the broker's own count of its records must agree.
"""

import json
import statistics
import subprocess

from figures import Figure, print_table
from stand import create_topic, delete_topic

THREADS = 4
RATE = 200_000


def run(arguments, mode, topic, records):
    command = [f"{arguments.bin}/producer_load", mode, arguments.brokers, topic, str(THREADS), str(records), str(RATE)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def records_in(arguments, topic):
    """What the broker has, by its own offsets: idempotent producers leave no gaps."""
    from confluent_kafka import Consumer, TopicPartition  # here: self_test.py runs without Kafka's client
    consumer = Consumer({"bootstrap.servers": arguments.brokers, "group.id": "bench-count"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
                   for partition in partitions)
    finally:
        consumer.close()


def measure_run(arguments, mode, number, records):
    """A run with its topic; what is wrong with its account, or None."""
    topic = f"{mode}-{number}"
    create_topic(arguments, topic)
    found = run(arguments, mode, topic, records)
    stored = records_in(arguments, topic)
    delete_topic(arguments, topic)
    # Warming up: the library's run says how many it accepted, the bare one sent one record.
    wanted = found.get("accepted", found["records"] + 1)
    problem = None
    if not stored == found["delivered"] == wanted:
        problem = f"{topic}: {wanted} were to be delivered, {found['delivered']} were called so, the broker has {stored}"
    return {**found, "events_per_second": found["records"] / found["seconds"]}, problem


def share_of_bare(rounds):
    """The median over rounds of the library's pace by the bare one's of the same round."""
    return statistics.median(one["unpaced"]["events_per_second"] / one["bare"]["events_per_second"] for one in rounds)


def figures_of(paced, rounds):
    return [
        Figure("record() at level memory, median", 250, paced["p50_ns"], "ns", 0),
        Figure("record() at level memory, p99.9", 5_000, paced["p999_ns"], "ns", 0),
        # Where the broker's machine does not keep up, a call that finds no room is quick: another figure.
        Figure("record() paced, events without room", 0, paced["dropped"], "events", 0),
        Figure("record() paced, of the rate", 0.99, paced["events_per_second"] / RATE, "", 3, least=True),
        Figure("record() unpaced, of a bare librdkafka", 0.8, share_of_bare(rounds), "", 2, least=True),
    ]


def measure_library(arguments):
    problems = []

    def measured(mode, number, records):
        found, problem = measure_run(arguments, mode, number, records)
        if problem:
            problems.append(problem)
        return found

    print(f"==> library: {THREADS} threads, {RATE:,} events/s for {arguments.seconds} s", flush=True)
    paced = measured("paced", 0, RATE * arguments.seconds)
    rounds = []
    for number in range(1, arguments.rounds + 1):
        print(f"==> library: round {number} of {arguments.rounds}, {arguments.records:,} events unpaced", flush=True)
        # Who is first alternates.
        order = ("bare", "unpaced") if number % 2 else ("unpaced", "bare")
        rounds.append({mode: measured(mode, number, arguments.records) for mode in order})
    rows = [("round", "events/s of the library", "of librdkafka", "share", "CPU-s per M", "of librdkafka")]
    for number, one in enumerate(rounds, 1):
        ours, bare = one["unpaced"], one["bare"]
        rows.append((str(number), f"{ours['events_per_second']:,.0f}", f"{bare['events_per_second']:,.0f}",
                     f"{ours['events_per_second'] / bare['events_per_second']:.2f}",
                     f"{ours['cpu_seconds'] / ours['records'] * 1e6:.2f}",
                     f"{bare['cpu_seconds'] / bare['records'] * 1e6:.2f}"))
    print_table(rows)
    print(f"\n  paced: p99 {paced['p99_ns']:,} ns, longest {paced['max_ns']:,} ns, one look at the clock "
          f"{paced['clock_ns']} ns, CPU {paced['cpu_seconds'] / paced['seconds']:.2f} of a core")
    return figures_of(paced, rounds), {"paced": paced, "rounds": rounds}, problems
