"""What an event costs when many were seen before it, and what it costs when two instances share the work.

Called by scale.sh. All runs read the same topic, each into an empty database. While one runs, a second connection and
/proc are looked at every 20 ms: records consumed by committed batches, CPU time and RssAnon of the aggregator. CPU
counts from the first record given to a worker, so starting and joining are no part of it; between two commits it is
taken to grow evenly. The aggregator reads and decodes ahead of its commits: what that costs would weigh on the first
events and be missing from the last. So a million more is written before and after the records that are measured.
Now and then a third connection makes a checkpoint and asks for the size of the database.

- `hot`: the whole dedup memory fits its budget. `budget`: half of it does, the rest goes to the local disk.
  Either reads two thirds of the events alone. Then it is the old one and takes turns with a young one, which reads the
  first third with the same options: turns.py tells how the two are compared. The plot's millions of one run are taken
  one after another, so a machine whose speed drifts shows in them; what says more is the old one's line beside the
  young one's, which is drawn where the old one was at the time.
- `two`: two instances of one group beside one instance, alternating; the ratio is taken within a round. The run is
  wrong unless each of the two held its half of the partitions from before the first commit to the end.
"""

import shutil
import statistics
import sys
import threading
import time
from typing import NamedTuple

from figures import Figure, between, conclude, judge, print_table
from plot import Line, Panel, write_svg
from stand import (Aggregator, Psql, bytes_below, check_totals, cpu_seconds, create_topic, drop_database,
                   expected_totals, first_record_times, fresh_database, holdings, parse_arguments, partitions_of,
                   rss_anon, tree_cpu_seconds, write_events, write_json)
from turns import Player, as_found, take_turns

TOPIC = "bench.events"
LOOK_SECONDS = 0.02
PAGE_SECONDS = 0.25  # between two looks at /metrics
SIZES = 15  # looks at the database's size
JUDGED_FROM = 30_000_000
LEAST_RECORDS = 6_000_000
HOT_MB = 1_000_000  # of budget: everything stays in memory
MILLION = 1_000_000
MARGIN = MILLION  # before and after; more than is read ahead
TURN_SECONDS = 2.0  # and until the next commit


def written(arguments):
    return arguments.records + 2 * MARGIN


class Sizes(threading.Thread):
    """The database's size after a checkpoint, each time that another share of the records was consumed."""

    def __init__(self, arguments, conninfo, watch):
        super().__init__(daemon=True)
        self.psql = Psql(arguments.psql, conninfo)
        self.step, self.watch = written(arguments) // SIZES, watch
        self.due = MARGIN  # what is written once lies before what is measured
        self.empty = self.size()
        self.found = []  # (records, bytes)
        self.done = threading.Event()

    def size(self):
        self.psql.execute("CHECKPOINT")
        return int(self.psql.value("SELECT pg_database_size(current_database())"))

    def look(self):
        before = self.watch.consumed()
        size = self.size()
        # Half of what was consumed during the checkpoint is taken to be in it.
        self.found.append(((before + self.watch.consumed()) // 2, size - self.empty))

    def look_if_due(self):
        if self.watch.consumed() >= self.due:
            self.look()
            self.due = self.watch.consumed() + self.step

    def run(self):
        while not self.done.wait(LOOK_SECONDS):
            self.look_if_due()

    def halt(self):
        """No more by itself."""
        self.done.set()
        self.join()


class Watch:
    """Looks at the running aggregators and remembers what was new."""

    def __init__(self, psql, aggregators, cache):
        self.psql, self.aggregators, self.cache = psql, aggregators, cache
        self.cpu = []       # (moment, CPU-seconds), of every look
        self.commits = []   # (moment, records), each time that there were more
        self.memory = []    # (records, RssAnon, bytes of the dedup memory)
        self.spilled_at = None  # records consumed when the first run lay in the cache
        self.next_page = 0

    def consumed(self):
        return self.commits[-1][1] if self.commits else 0

    def look(self, with_page=True):
        """`with_page`: not of a process that is stopped, which would not answer."""
        consumed = int(self.psql.value("SELECT coalesce(sum(consumed), 0) FROM tally.ledger"))
        now = time.time()
        self.cpu.append((now, sum(cpu_seconds(each.process.pid) for each in self.aggregators)))
        if consumed > self.consumed():
            self.commits.append((now, consumed))
        if with_page and consumed and now >= self.next_page:
            self.next_page = now + PAGE_SECONDS
            self.memory.append((consumed, sum(rss_anon(each.process.pid) for each in self.aggregators),
                                sum(each.dedup_bytes() for each in self.aggregators)))
            if self.cache and self.spilled_at is None and bytes_below(self.cache):
                self.spilled_at = consumed
        return consumed

    def until(self, records):
        """For Aggregator.wait: one look; True when so many were consumed."""
        def reached():
            return self.look() >= records
        return reached


def cpu_by_records(watch, first):
    """(records, CPU-seconds since the first record was given to a worker), rising."""
    started = between(watch.cpu, first)
    return [(0, 0.0)] + [(records, between(watch.cpu, when) - started) for when, records in watch.commits]


class Share(NamedTuple):
    """What one instance of a run had of it."""
    holdings: list  # (moment, partitions held from then on)
    records: int    # that it committed

    def held_at(self, moment):
        return next((held for begun, held in reversed(self.holdings) if begun <= moment), set())


def sharing_problem(shares, partitions, first_commit, records):
    """What is wrong with how the instances shared the topic, or None: one that has no part in the work, or comes late to
    it, would make two cost what one does. One alone shares with nobody, in whatever order its workers joined."""
    for number, share in enumerate(shares if len(shares) > 1 else [], 1):
        held = share.held_at(first_commit)
        if len(held) * len(shares) != partitions:
            return f"instance {number} held {len(held)} of {partitions} partitions when the first commit was seen"
        if any(begun > first_commit for begun, _ in share.holdings):
            return f"the partitions of instance {number} changed after the first commit"
        # The generator's keys are random: each partition has nearly as many records as the others.
        if share.records * len(shares) < 0.9 * records:
            return f"instance {number} of {len(shares)} committed {share.records:,} of {records:,} records"
    return None


class Run:
    """One group's aggregators on an empty database of their own."""

    def __init__(self, arguments, name, options, instances=1, cache=None):
        self.arguments, self.name, self.cache = arguments, name, cache
        self.conninfo = fresh_database(arguments, name)
        self.psql = Psql(arguments.psql, self.conninfo)
        self.postgres_before = tree_cpu_seconds(arguments.postgres_pid)
        if cache:
            options = [*options, "--cache-folder", cache]
        self.aggregators = [Aggregator(arguments, name, *options, topic=TOPIC, log_name=f"{name}-{number}")
                            for number in range(instances)]
        self.watch = Watch(self.psql, self.aggregators, cache)
        self.alone = None  # (moment, records, Postgres' CPU-seconds) while nothing else ran
        self.problem = None
        self.shares = []

    def until(self, records):
        self.aggregators[0].wait(self.watch.until(records))
        if any(each.process.poll() is not None for each in self.aggregators):
            raise RuntimeError(f"an instance ended; see {self.arguments.dir}/log")

    def note_alone(self):
        self.alone = (*self.watch.commits[-1], tree_cpu_seconds(self.arguments.postgres_pid) - self.postgres_before)

    def to_the_end(self):
        self.until(written(self.arguments))
        if not self.alone:
            self.note_alone()
        self.watch.next_page = 0
        self.watch.look()
        # An instance counts a commit just after it is visible here.
        self.aggregators[0].wait(lambda: sum(each.consumed() for each in self.aggregators) >= written(self.arguments))
        self.shares = [Share(holdings(each.log_path), each.consumed()) for each in self.aggregators]
        self.problem = (check_totals(self.psql, expected_totals(self.arguments))
                        or sharing_problem(self.shares, partitions_of(self.arguments), self.watch.commits[0][0],
                                           written(self.arguments)))

    def stop(self):
        for each in self.aggregators:
            each.stop()

    def drop(self):
        self.psql.close()
        drop_database(self.arguments, self.name)
        if self.cache:
            shutil.rmtree(self.cache, ignore_errors=True)

    def found(self):
        """`cpu_of_each_million` begins behind the margin and ends before the one at the end, or where the run did."""
        first = min(moment for each in self.aggregators for moment in first_record_times(each.log_path))
        cpu = cpu_by_records(self.watch, first)
        records = cpu[-1][0]
        end = min(MARGIN + self.arguments.records, records)
        until, alone, postgres_cpu = self.alone or (*self.watch.commits[-1], None)
        return {"name": self.name, "cpu_per_million": cpu[-1][1] / (records / MILLION),
                "rate": alone / (until - first) if self.alone else None, "problem": self.problem,
                "records_of_each": [share.records for share in self.shares],
                "postgres_cpu_per_million": postgres_cpu / (alone / MILLION) if self.alone else None,
                "spilled_at": self.watch.spilled_at,
                "cpu_of_each_million": [between(cpu, at + MILLION) - between(cpu, at)
                                        for at in range(MARGIN, end - MILLION + 1, MILLION)],
                "memory": self.watch.memory, "database": []}


def tell(found):
    print(f"  {found['name']}: {found['cpu_per_million']:.2f} CPU-s per M, {found['rate']:,.0f} events/s, "
          + (f"{' + '.join(f'{records:,}' for records in found['records_of_each'])} records, "
             if len(found["records_of_each"]) > 1 else "")
          + (f"WRONG: {found['problem']}" if found["problem"] else "totals exact"), flush=True)


def run_one(arguments, name, instances=1):
    run = Run(arguments, name, [], instances)
    try:
        run.to_the_end()
    finally:
        run.stop()
    run.drop()
    found = run.found()
    tell(found)
    return found


def beside_young(arguments, old, sizes, name, options, cache):
    """`old` has read two thirds. Returns what was found in its turns with a young one, and the young one's run."""
    third = arguments.records // 3
    players = [Player("old", old.aggregators[0], old.watch)]
    players[0].rest()
    sizes.halt()
    old.note_alone()
    young = Run(arguments, name, options, cache=cache)
    try:
        players.append(Player("young", young.aggregators[0], young.watch))
        players[1].halt()
        turns = take_turns(*players, TURN_SECONDS * min(1, third / (5 * MILLION)),
                           warm=lambda: young.watch.consumed() >= MARGIN,
                           done=lambda: young.watch.consumed() >= MARGIN + third
                           or old.watch.consumed() >= MARGIN + arguments.records - third // 8,
                           between=sizes.look_if_due)
        found = as_found(turns, *players)
    finally:
        for each in players:
            each.go_on()
        young.stop()
    young.drop()
    return found, young.found()


def run_old(arguments, name, options, cache=None):
    """A run of all records; its last third in turns with a young one."""
    run = Run(arguments, name, options, cache=cache)
    sizes = Sizes(arguments, run.conninfo, run.watch)
    sizes.start()
    try:
        run.until(arguments.records * 2 // 3)
        turns, young = beside_young(arguments, run, sizes, f"young_{name}", options, cache and f"{cache}-young")
        run.to_the_end()
    finally:
        sizes.halt()
        run.stop()
    sizes.look()
    sizes.psql.close()
    run.drop()
    found = {**run.found(), "database": sizes.found, "in_turns": turns, "young": young}
    tell(found)
    print(f"    in {len(turns['turns'])} turns: old {turns['old_cpu_per_million']:.2f}, "
          f"young {turns['young_cpu_per_million']:.2f} CPU-s per M", flush=True)
    return found


def run_hot(arguments):
    return run_old(arguments, "hot", ["--dedup-memory-mb", str(HOT_MB)])


def run_budget(arguments):
    found = run_old(arguments, "budget", ["--dedup-memory-mb", str(arguments.budget_mb)], f"{arguments.dir}/cache")
    return {**found, "problem": found["problem"] or budget_problem(found["spilled_at"], arguments)}


def budget_problem(spilled_at, arguments):
    """What is wrong with a run whose last third was to be under the budget, or None."""
    last_begin = Thirds.last_begin_of(arguments.records)
    if spilled_at is not None and spilled_at <= last_begin:
        return None
    when = f"after {spilled_at / MILLION:.1f} M events" if spilled_at else "never"
    return (f"the budget of {arguments.budget_mb} MB was reached {when}, not before the last third "
            f"({last_begin / MILLION:.1f} M): give a smaller --budget-mb")


def run_pairs(arguments):
    return [(run_one(arguments, f"one{number}"), run_one(arguments, f"two{number}", instances=2))
            for number in range(1, arguments.rounds + 1)]


class Thirds:
    """A run's first and last third beside each other: memory and the database."""

    def __init__(self, run, records):
        self.run, self.first_end, self.last_begin = run, MARGIN + records / 3, self.last_begin_of(records)
        self.end = MARGIN + records

    @staticmethod
    def last_begin_of(records):
        return MARGIN + records * 2 / 3

    def peaks(self, of):
        """Of the first third (with what lies before it, and at least the first look) and of the last."""
        memory = self.run["memory"]
        first = [of(*row) for row in memory if row[0] <= self.first_end] or [of(*memory[0])]
        return max(first), max(of(*row) for row in memory if row[0] >= self.last_begin)

    def grown_beside_dedup_mb(self):
        first, last = self.peaks(lambda _, rss, dedup: rss - dedup)
        return (last - first) / 1e6

    def grown_after_budget(self):
        """The last third's peak against that of all before it."""
        memory = self.run["memory"]
        before = max((rss for records, rss, _ in memory if records < self.last_begin), default=memory[0][1])
        return self.peaks(lambda _, rss, __: rss)[1] / before

    def bytes_per_event(self):
        """Of the database's growth during the last third, against that of the first."""
        database = [(0, 0), *self.run["database"]]
        first, last = ((between(database, end) - between(database, begin)) / (end - begin)
                       for begin, end in ((MARGIN, self.first_end), (self.last_begin, self.end)))
        return last / first


def added_per_event(database):
    """(records, bytes for each record since the look before), for each look at the database's size."""
    return [(records, (size - size_before) / (records - before))
            for (before, size_before), (records, size) in zip([(0, 0), *database], database) if records > before]


def figures(arguments, hot, budget, pairs):
    of_hot, of_budget = Thirds(hot, arguments.records), Thirds(budget, arguments.records)
    return [
        Figure("CPU per event of the last third, of the first's, all hot", 1.05, hot["in_turns"]["old_of_young"],
               "times", 3),
        Figure("CPU per event of the last third, of the first's, budget reached", 1.05,
               budget["in_turns"]["old_of_young"], "times", 3),
        Figure("RssAnon's growth beside the dedup memory, first third to last", 50,
               of_hot.grown_beside_dedup_mb(), "MB", 0),
        Figure("RssAnon under the budget, last third, of all before", 1.05, of_budget.grown_after_budget(), "times", 3),
        Figure("Postgres bytes per event of the last third, of the first's", 1.05, of_hot.bytes_per_event(), "times",
               3),
        Figure("two instances, of one", 1.10, statistics.median(two["cpu_per_million"] / one["cpu_per_million"]
                                                                for one, two in pairs), "times", 3),
    ]


def in_millions(pairs):
    return [(records / MILLION, value) for records, value in pairs]


def plot(arguments, runs):
    x_label = "million events consumed"
    behind = arguments.records * 2 // 3 // MILLION  # millions; the young one, of the old one
    cpu = [line for run in runs for line in (
        Line(run["name"], list(enumerate(run["cpu_of_each_million"], 1 + MARGIN // MILLION))),
        Line(f"young beside {run['name']}", list(enumerate(run["young"]["cpu_of_each_million"],
                                                           1 + MARGIN // MILLION + behind)), dashed=True))]
    memory = [line for run in runs for line in (
        Line(f"{run['name']}: RssAnon", in_millions((row[0], row[1] / 1e6) for row in run["memory"])),
        Line(f"{run['name']}: dedup", in_millions((row[0], row[2] / 1e6) for row in run["memory"]), dashed=True))]
    database = [Line(run["name"], in_millions(added_per_event(run["database"]))) for run in runs]
    write_svg(arguments.json.replace(".json", ".svg"), [
        Panel("CPU-seconds of the aggregator for each million", x_label, cpu),
        Panel("Memory, MB", x_label, memory), Panel("Postgres, bytes that each event added", x_label, database)])


def report(arguments, hot, budget, pairs):
    rows = [("", "CPU-s per M", "in turns: old", "young", "old of young", "Postgres CPU-s per M", "events/s",
             "peak RssAnon MB", "huge pages MB", "dedup MB", "Postgres bytes/event")]
    for run in (hot, budget):
        turns = run["in_turns"]
        rows.append((run["name"], f"{run['cpu_per_million']:.2f}", f"{turns['old_cpu_per_million']:.2f}",
                     f"{turns['young_cpu_per_million']:.2f}",
                     f"{min(turns['single_ratios']):.2f} to {max(turns['single_ratios']):.2f}",
                     f"{run['postgres_cpu_per_million']:.2f}", f"{run['rate']:,.0f}",
                     f"{max(row[1] for row in run['memory']) / 1e6:,.0f}", f"{turns['old_huge_pages'] / 1e6:,.0f}",
                     f"{run['memory'][-1][2] / 1e6:,.0f}", f"{run['database'][-1][1] / run['database'][-1][0]:.1f}"))
    print_table(rows)
    rows = [("round", "CPU-s per M: one", "two", "events/s: one", "two", "Postgres CPU-s per M: one", "two")]
    for number, pair in enumerate(pairs, 1):
        rows.append((str(number), *(f"{run['cpu_per_million']:.2f}" for run in pair),
                     *(f"{run['rate']:,.0f}" for run in pair),
                     *(f"{run['postgres_cpu_per_million']:.2f}" for run in pair)))
    print_table(rows)
    spilled = budget["spilled_at"]
    print(f"\n  budget of {arguments.budget_mb} MB: "
          + (f"reached after {spilled / MILLION:.1f} M events" if spilled else "NOT reached"))
    missed, out = judge(figures(arguments, hot, budget, pairs), judged=arguments.records >= JUDGED_FROM)
    write_json(arguments, {"records": arguments.records, "budget_mb": arguments.budget_mb, "figures": out, "hot": hot,
                           "budget": budget, "pairs": [{"one": one, "two": two} for one, two in pairs]})
    plot(arguments, [hot, budget])
    print(f"\n  plotted in {arguments.json.replace('.json', '.svg').rpartition('.tally/')[2]} beside the JSON")
    return missed


def main():
    arguments = parse_arguments(["records", "rounds", "budget-mb"])
    if arguments.records < LEAST_RECORDS:
        print(f"bench scale: --records must be {LEAST_RECORDS} at least: shorter thirds have no room for turns.",
              file=sys.stderr)
        return 2
    print(f"==> writing {written(arguments):,} records", flush=True)
    create_topic(arguments, TOPIC)
    write_events(arguments, TOPIC, written(arguments))
    print("==> the dedup memory fits, then half of it", flush=True)
    hot = run_hot(arguments)
    budget = run_budget(arguments)
    print("==> one instance, two instances", flush=True)
    pairs = run_pairs(arguments)
    missed = report(arguments, hot, budget, pairs)
    wrong = [run["problem"] for run in (hot, budget, *(run for pair in pairs for run in pair)) if run["problem"]]
    few = arguments.records < JUDGED_FROM
    return conclude("scale", wrong, missed,
                    f"the bars are for {JUDGED_FROM:,} events and were not applied" if few else None)


if __name__ == "__main__":
    sys.exit(main())
