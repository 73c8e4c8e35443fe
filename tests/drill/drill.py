"""`./dev drill`: events through the library and over HTTP while broker, daemons and disk fail; then every one of them is
accounted for, counted or refused. README.md tells the whole."""

import argparse
import fcntl
import json
import os
import signal
import sys
import time
import traceback

import books

PATIENCE_S = 900  # beside the storm: then the run is told to stop, well before ctest kills it (CMakeLists.txt)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


class Drill:
    def __init__(self, options):
        from world import World
        self.options = options
        self.began = time.monotonic()
        self.world = World(options, self.say)
        self.storm = None
        self.storm_sums = ""
        self.differences = []
        self.figures = {"seconds": options.seconds, "seed": options.seed, "rate": options.rate}

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def blow(self):
        from faults import Storm
        world = self.world
        for sender in world.senders:
            sender.start()
        self.storm = Storm(world)
        self.say(f"{self.options.rate:,} events/s are sent")
        self.storm.run()
        for sender in world.senders:
            sender.stop()
        self.say("all faults are healed and nobody sends: what was kept is delivered and counted")

    def audit(self, when):
        world = self.world
        world.settle()
        self.differences = [*self.of_the_counters(), *self.of_the_log()]
        totals = world.totals()
        counted = int(sum(calls for calls, _ in totals.values()))
        balance = books.balance_of(world.books, counted)
        if balance:
            self.differences.append(f"the account does not balance: {balance} events")
        self.figures[when] = {"counted": counted, "balance": balance, "differences": len(self.differences),
                              "streams": {book.name: books.figures_of(book) for book in world.books}}
        self.print_table(when)
        if self.differences:
            raise AssertionError("\n  ".join([f"{when}: tally and the drill's books differ:", *self.differences[:20]]))

    def of_the_log(self):
        world = self.world
        for book in world.books:
            yield from books.of_the_log(book)
        yield from books.of_postgres(world.books, self.options.tenants, world.totals(), world.ledger())

    def of_the_counters(self):
        for served in self.world.served:
            for life, told in sorted(served.told.items()):
                last = life == served.life
                metrics = served.look() if last else served.last_looks[life]
                yield from books.of_a_life(f"{served.name}, life {life}", told, metrics, killed=not last)
            spool = served.look()["spool"]
            if spool:
                records = sum(sender.book.records for sender in self.world.senders if sender.served is served)
                told = served.told.get(served.life, {"kept": 0, "unknown": 0})
                yield from books.of_the_spool(served.name, spool, told, records)
                yield from books.of_what_was_tried(served.name, served.told, served.life)

    def storm_account(self):
        yield from books.of_the_load(
            ((sender.book, *self.world.least_of(sender)) for sender in self.world.senders),
            {served.name: [told for life, told in served.told.items() if life != served.life] for served in self.world.served})
        for sender in self.world.senders:
            if "accepted" in sender.account:
                yield from books.of_the_library(sender.book, sender.account)

    def retry(self):
        self.say("what was not kept is sent again, under the same ids")
        for sender in self.world.senders:
            sender.retry()
        self.audit("after the retry")
        left = [line for book in self.world.books for line in books.after_the_retry(book)]
        if left:
            raise AssertionError("\n  ".join(left))

    def run(self):
        self.world.start()
        self.blow()
        wrong = list(self.storm_account())
        self.storm_sums = books.sums_of(self.world.books)
        if wrong:
            raise AssertionError("\n  ".join(wrong))
        self.audit("after the storm")
        self.retry()
        for sender in self.world.senders:
            sender.finish()
        for served in self.world.served:
            served.stop()
        self.world.aggregator.stop()
        self.world.scene.admin("verify")

    def print_table(self, when):
        columns = ("offered", "kept", "refused", "unknown", "cut", "unknown_in_log", "cut_in_log", "in_log", "copies")
        rows = self.figures[when]["streams"]
        rows = {**rows, "all": {name: sum(row[name] for row in rows.values()) for name in columns}}
        print(f"\n  {when:18}" + "".join(f"{name.replace('_', ' '):>16}" for name in columns))
        for name, row in rows.items():
            print(f"  {name:18}" + "".join(f"{row[column]:>16,}" for column in columns))
        print(f"  counted in Postgres: {self.figures[when]['counted']:,} · balance: {self.figures[when]['balance']}\n",
              flush=True)

    def finish(self, failure):
        if self.storm:
            self.figures["faults"] = dict(sorted(self.storm.counts.items()))
            self.figures["storm_seconds"] = round(self.storm.lasted)
            self.figures["disk"] = self.world.disk.kind
        self.figures["achieved_rate"] = {sender.name: round(len(sender.book.told) / sender.storm_seconds)
                                         for sender in self.world.senders if sender.storm_seconds}
        try:
            self.world.stop()
        except Exception as problem:  # pylint: disable=broad-exception-caught
            traceback.print_exc()
            failure = failure or problem
        self.figures["verdict"] = "red" if failure else "green"
        os.makedirs(os.path.dirname(self.options.figures), exist_ok=True)
        with open(self.options.figures, "w", encoding="utf-8") as file:
            json.dump(self.figures, file, indent=2)
            file.write("\n")
        for name, count in {**self.figures.get("faults", {}),
                            **{f"{name}, events/s": rate for name, rate in self.figures["achieved_rate"].items()}}.items():
            print(f"  {name:34}{count:>10,}")
        again = f"./dev drill --seconds {self.options.seconds} --seed {self.options.seed} --rate {self.options.rate}"
        if failure:
            print(f"drill: RED: {failure}\nkept: {self.options.dir}\nagain: {again}")
            return 1
        print(f"drill: every kept event is counted once, every refused one is in a counter, balance 0; "
              f"{self.storm_sums} ({again}).")
        return 0


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="./dev drill", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of faults (60)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000, help="of their moments")
    parser.add_argument("--rate", type=int, default=20_000, help="events a second, of all senders together (20000)")
    parser.add_argument("--dir", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--figures", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.dir, options.bin, options.figures = map(os.path.abspath, (options.dir, options.bin, options.figures))
    options.tenants, options.connections = 10, 320
    options.most_seconds = options.seconds + PATIENCE_S
    return options


def told_to_stop(number, _frame):
    raise KeyboardInterrupt(f"signal {number}")


def main():
    options = options_of(sys.argv[1:])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # What the integration tests' support reads; the stack is this run's own. Its broker is started six times: the quick
    # compiler alone costs half the time.
    os.environ.update(TALLY_TEST_ROOT=root, TALLY_TEST_BIN=options.bin, TALLY_TEST_BROKERS="", TALLY_TEST_PG="",
                      TALLY_BROKER_JAVA="-XX:TieredStopAtLevel=1")
    sys.path.insert(0, os.path.join(root, "tests", "integration"))
    for number in STOPS:
        signal.signal(number, told_to_stop)
    signal.alarm(options.most_seconds)
    os.makedirs(os.path.dirname(options.dir), exist_ok=True)
    with open(f"{options.dir}.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"drill: another one runs in {options.dir}")
        return run(options)


def run(options):
    drill = Drill(options)
    failure = None
    try:
        drill.run()
    except (Exception, KeyboardInterrupt) as problem:
        traceback.print_exc()
        failure = problem
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # what runs is stopped in peace
    return drill.finish(failure)


if __name__ == "__main__":
    sys.exit(main())
