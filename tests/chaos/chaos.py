"""`./dev chaos`: real processes under load and random faults; then every total is compared to the last digit.

Calm baseline, audit · storm, audit · a fresh batch counted in time, audit. README.md tells the whole."""

import argparse
import atexit
import os
import re
import signal
import sys
import time
from collections import Counter
from datetime import datetime, timezone

import report
from world import World

RECOVERY_RECORDS = 4000
RECOVERY_S = 30       # after all faults are healed, a fresh batch is counted within this time
CATCH_UP_S = 180      # everything published in the storm is consumed within this time
BASELINE = 6000       # numbers published in calm


class Drill:
    def __init__(self, options):
        self.options = options
        self.began = time.monotonic()
        self.world = World(options.dir, options.bin, options)
        self.faults = Counter()
        self.differences = []
        self.recovery_s = None
        self.promised = self.logged = self.checker = None

    def elapsed(self):
        return time.monotonic() - self.began

    def say(self, text):
        print(f"[{self.elapsed():6.1f} s] {text}", flush=True)

    def prepare(self):
        self.say("a fresh Kafka and a fresh Postgres, behind gates")
        self.world.start()
        from auditor import Promised, logged_for
        from checker import Checker
        from stream import Stream
        stream = Stream(self.options.seed, self.options.base, self.options.baseline)
        scene = self.world.scene
        self.promised = Promised(stream, self.world.oplog)
        self.logged = logged_for(stream, self.world.stack.brokers, scene.topic)
        exact = not self.options.growth and self.options.foreign_per_mille == 0
        self.checker = Checker(scene, self.promised, self.logged, exact)

    def audit(self, when):
        """Everything is consumed; what is stored equals both truths."""
        began = time.monotonic()
        self.promised.read_on()
        self.logged.read_on(self.world.scene.ends())
        self.differences = self.checker.run()
        if self.differences:
            report.print_differences(self.differences)
            raise AssertionError(f"{when}: tally and the auditor differ")
        self.say(f"{when}: {self.promised.records:,} acked records, no difference "
                 f"(audited in {time.monotonic() - began:.1f} s)")

    def baseline(self):
        world = self.world
        rng = world.rng("baseline")
        for slot in world.fleet.slots[:2]:
            slot.start(rng)
        for slot in world.fleet.running():
            slot.aggregator.await_ready(60)
        # Every worker has its share: calm means that no partition moves either.
        world.scene.await_owners(sum(slot.workers for slot in world.fleet.running()))
        world.start_producer(until=self.options.baseline, rate=max(self.options.rate, 2000))
        world.finish_producer()
        world.await_all_committed(60)
        self.audit("baseline")

    def storm(self):
        from schedule import Schedule
        world = self.world
        world.start_producer()
        world.watch.reset()
        schedule = Schedule(world, self.say)
        try:
            schedule.run(self.options.seconds)
        finally:
            self.faults = schedule.kinds
        self.say(f"{sum(self.faults.values())} faults, all healed: the rest is published and consumed")
        world.finish_producer(stop=True)
        for slot in world.fleet.resting()[:max(0, 2 - len(world.fleet.running()))]:
            slot.start(world.rng("after"))
        self.say(f"consumed to the end after {world.await_all_committed(CATCH_UP_S):.1f} s")
        world.fleet.check()
        self.audit("after the storm")

    def recovery(self):
        """A known batch, published after all faults, is counted within the bound."""
        world = self.world
        until = int(re.findall(r"next=(\d+)", world.producer_log())[-1]) + RECOVERY_RECORDS
        began = time.monotonic()
        world.start_producer(until=until, rate=max(self.options.rate, 2000))
        world.watch.reset()  # nothing was published during the audit
        world.finish_producer()
        world.await_all_committed(RECOVERY_S)
        self.recovery_s = round(time.monotonic() - began, 1)
        if self.recovery_s > RECOVERY_S:
            raise AssertionError(f"recovery took {self.recovery_s} s, the bound is {RECOVERY_S} s")
        for slot in world.fleet.running():
            slot.aggregator.await_ready(60)
        self.audit("recovery")
        self.say(f"a fresh batch of {RECOVERY_RECORDS} records was counted in {self.recovery_s} s")

    def run(self):
        self.prepare()
        self.baseline()
        self.storm()
        self.recovery()
        self.world.fleet.stop()
        if self.options.self_test:
            import self_test
            self.say("self-test: the checker sees small lies")
            self_test.Drill(self.checker, self.promised, self.world.scene).run()

    def finish(self, failure):
        red = failure is not None
        try:
            figures = report.figures_of(self) if self.checker else {}
        except Exception as problem:  # the figures never hide the failure
            figures = {"figures": f"not to be had: {problem}"}
        figures["verdict"] = "red" if red else "green"
        report.write_figures(self.options.figures, figures)
        report.print_table(figures)
        self.world.stop(keep=red or self.options.keep)
        if red or self.options.keep:
            print(f"kept: {self.options.dir} (operation log, logs of every process, data)")
        if red:
            print(f"chaos: RED: {failure}\nreplay: ./dev chaos {self.options.replay}")
            return 1
        print(f"chaos: {figures['faults']} faults, {figures['records_in_log']:,} records, "
              "zero difference, recovered.")
        return 0


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="of faults (2)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--rate", type=int, default=4000, help="records a second (4000)")
    parser.add_argument("--growth", action=argparse.BooleanOptionalAction, default=True,
                        help="the topic grows from 4 to 8 partitions (yes)")
    parser.add_argument("--foreign-per-mille", type=int, default=20,
                        help="of 1000 records, sent by another partitioner (20)")
    parser.add_argument("--faults", default="", help="only these files of faults/, comma between")
    parser.add_argument("--self-test", action="store_true", help="then show that the checker can fail")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a green run too")
    parser.add_argument("--dir", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--figures", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.seconds = options.minutes * 60
    options.base = datetime.now(timezone.utc).replace(microsecond=0)
    options.baseline = BASELINE
    options.dir, options.bin = os.path.abspath(options.dir), os.path.abspath(options.bin)
    switches = [f"--minutes {options.minutes:g} --seed {options.seed} --rate {options.rate}",
                f"--foreign-per-mille {options.foreign_per_mille}"]
    if not options.growth:
        switches.append("--no-growth")
    if options.faults:
        switches.append(f"--faults {options.faults}")
    options.faults = tuple(filter(None, options.faults.split(",")))
    options.replay = " ".join(switches)
    return options


def main():
    options = options_of(sys.argv[1:])
    drill = Drill(options)
    drill.say(f"./dev chaos {options.replay}")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("chaos: told to stop"))
    finished = []
    atexit.register(lambda: finished or drill.world.stop(keep=True))
    failure = None
    try:
        drill.run()
    except Exception as problem:
        import traceback
        traceback.print_exc()
        failure = problem
    code = drill.finish(failure)
    finished.append(True)
    return code


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
