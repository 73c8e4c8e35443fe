"""The plan of faults: two lanes, one for the aggregators, one for what they stand on, each a seeded bag of all
its kinds. After each fault something must be committed before the lane's next one; when that takes long, the
other lane holds still, and after STALL_S seconds in which everything was healed the run is red."""

import threading
import time
from collections import Counter

import faults
from fleet import Unexpected

PATIENCE_S = 20  # a commit later than this after healing: no further fault until it comes


class Lane(threading.Thread):
    def __init__(self, schedule, name, kinds):
        super().__init__(daemon=True)
        self.schedule, self.name = schedule, name
        self.kinds = kinds
        self.count = 0

    def run(self):
        try:
            while self.schedule.wait(self.gap()):
                self.strike(*self.next())
        except BaseException as failure:  # the run is red, with its reason
            self.schedule.fail(failure)

    def gap(self):
        return self.schedule.world.rng("gap", self.name, self.count).uniform(0.5, 3)

    def next(self):
        """The kinds in a bag: all of them before any comes again."""
        world = self.schedule.world
        bag = list(self.kinds)
        world.rng("bag", self.name, self.count // len(bag)).shuffle(bag)
        kind = bag[self.count % len(bag)]
        rng = world.rng("fault", self.name, self.count)
        self.count += 1
        return (kind, rng) if faults.is_possible(kind, world) else self.next()

    def strike(self, kind, rng):
        schedule, world = self.schedule, self.schedule.world
        with schedule.lock:
            schedule.active += 1
        try:
            hold = rng.uniform(*kind.HOLD_S)
            state = kind.inject(world, rng)
            schedule.struck(self.name, kind, hold, getattr(state, "name", state))
            if hold > 0:
                schedule.stopped.wait(hold)  # the end of the storm heals too
            kind.heal(world, rng, state)
        finally:
            healed = time.monotonic()
            with schedule.lock:
                schedule.active -= 1
                schedule.healed = healed
        world.fleet.check()
        if world.watch.await_commit(healed, PATIENCE_S):
            return
        with schedule.quiet:  # no lane begins a fault
            schedule.say("waiting for a commit: no fault begins before it")
            while schedule.active:
                time.sleep(0.1)
            world.watch.demand_commit(schedule.healed)


class Schedule:
    def __init__(self, world, say):
        self.world, self.say = world, say
        self.lock = threading.Lock()
        self.quiet = threading.RLock()
        self.stopped = threading.Event()
        self.active = 0
        self.healed = time.monotonic()
        self.failure = None
        self.kinds = Counter()
        kinds = {name: faults.of_lane(name, world.options.faults) for name in ("fleet", "world")}
        self.lanes = [Lane(self, name, kinds[name]) for name in kinds if kinds[name]]

    def wait(self, seconds):
        """Between two faults of a lane; false: the storm is over."""
        if self.stopped.wait(seconds):
            return False
        with self.quiet:
            pass
        return not self.stopped.is_set()

    def struck(self, lane, kind, hold, detail):
        with self.lock:
            self.kinds[kind.NAME] += 1
        held = f" for {hold:.1f} s" if hold else ""
        self.say(f"{lane:5}  {kind.NAME}{held}" + (f": {detail}" if detail else ""))

    def fail(self, failure):
        with self.lock:
            self.failure = self.failure or failure
        self.stopped.set()

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            lane.start()
        while time.monotonic() < deadline and not self.stopped.is_set():
            self.stopped.wait(0.5)
            producer = self.world.producer
            if producer.poll() not in (None, -9):
                self.fail(Unexpected("the producer ended: " + self.world.producer_log()))
        self.stopped.set()
        for lane in self.lanes:
            lane.join(240)
            if lane.is_alive():
                self.fail(Unexpected(f"the lane {lane.name} could not heal its fault in 240 s"))
        if self.failure:
            raise self.failure
