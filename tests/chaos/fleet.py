"""The aggregators of the drill, in slots. A slot may run with a stable instance name (static membership) or
without, with one worker or two. A process that ends without being told to is a failure of the run."""

import os
import signal


class Unexpected(AssertionError):
    """tally, not the drill, did something wrong."""


class Slot:
    def __init__(self, fleet, name):
        self.fleet, self.name = fleet, name
        self.aggregator = None
        self.workers = 0
        self.ending = True  # the drill ended it, or armed it to end

    def start(self, rng, failpoints=""):
        instance = f"slot-{self.name}" if rng.random() < 0.5 else ""
        self.workers = rng.choice([1, 2])
        self.aggregator = self.fleet.scene.aggregator(
            database=self.fleet.database, brokers=self.fleet.brokers, instance=instance,
            workers=self.workers, failpoints=failpoints)
        self.ending = bool(failpoints)
        remember(self.fleet.dir, f"aggregator-{self.name}", self.aggregator.process.pid)

    def kill(self):
        self.ending = True
        self.aggregator.kill()

    def drain(self):
        """SIGTERM: it commits what it folded and says so with exit code 0."""
        self.ending = True
        self.aggregator.process.terminate()
        try:
            code = self.aggregator.process.wait(60)
        except Exception:
            self.aggregator.show_log()
            raise Unexpected(f"slot {self.name}: still there 60 s after SIGTERM") from None
        if code != 0:
            self.aggregator.show_log()
            raise Unexpected(f"slot {self.name}: SIGTERM ended in exit code {code}")

    def up(self):
        return self.aggregator is not None and self.aggregator.running()

    def signal(self, number):
        self.aggregator.signal(number)


class Fleet:
    def __init__(self, scene, directory, database, brokers):
        self.scene, self.dir, self.database, self.brokers = scene, directory, database, brokers
        self.slots = [Slot(self, name) for name in "abc"]

    def running(self):
        return [slot for slot in self.slots if slot.up()]

    def resting(self):
        return [slot for slot in self.slots if not slot.up()]

    def pick(self, rng):
        return rng.choice(self.running())

    def check(self):
        for slot in self.slots:
            if slot.aggregator and not slot.ending and not slot.aggregator.running():
                slot.aggregator.show_log()
                raise Unexpected(f"slot {slot.name} ended by itself with exit code "
                                 f"{slot.aggregator.process.returncode}")

    def stop(self):
        for slot in self.running():
            slot.signal(signal.SIGCONT)
            slot.drain()

    def kill(self):
        for slot in self.running():
            slot.kill()


def remember(directory, name, pid):
    """The stack stops what stands in its run/ folder, even when the drill died."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        started = file.read().rpartition(") ")[2].split()[19]
    os.makedirs(f"{directory}/run", exist_ok=True)
    with open(f"{directory}/run/{name}.pid", "w", encoding="utf-8") as file:
        file.write(f"{pid} {started} TERM\n")
