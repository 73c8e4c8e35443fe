"""What breaks, and when: two lanes side by side, their moments from the seed. The broker is killed five
times; on the host each daemon is killed twice, then the disk fills up once: what is refused then is counted by daemons
that live on, so that their counters can be held against it."""

import random
import threading
import time
from collections import Counter

BROKER_KILLS = 5
DAEMON_KILLS = 2
DISK_PATIENCE_S = 300  # until somebody is refused for want of room
POLL_S = 0.25
FLOW_PATIENCE_S = 180  # until events are kept again behind a broker that answers


class Lane(threading.Thread):
    """Faults one after another, each at its moment or when the one before is healed."""

    def __init__(self, storm, name, plan):
        super().__init__(name=name, daemon=True)
        self.storm, self.plan = storm, plan

    def run(self):
        try:
            for moment, fault, dice in self.plan:
                if self.storm.stopped.wait(max(0, self.storm.began + moment - time.monotonic())):
                    return
                fault(dice)
        except BaseException as failure:  # the run is red, with its reason
            self.storm.fail(failure)


class Storm:
    def __init__(self, world):
        self.world = world
        self.counts = Counter()
        self.stopped = threading.Event()
        self.failure, self.lasted = None, 0
        self.await_flow()  # the first fault finds everything at work
        seconds, seed = world.options.seconds, world.options.seed
        dice = random.Random(f"{seed} plan")
        broker = [self.kill_broker] * BROKER_KILLS
        host = [self.kill_daemons] * DAEMON_KILLS + [self.fill_disk]
        self.began = time.monotonic()
        self.lanes = [Lane(self, name, [((place + dice.uniform(0.2, 0.6)) * seconds / len(faults), fault,
                                         random.Random(f"{seed} {name} {place}")) for place, fault in enumerate(faults)])
                      for name, faults in (("broker", broker), ("host", host))]

    def fail(self, failure):
        self.failure = self.failure or failure
        self.stopped.set()

    def await_flow(self):
        """The broker serves again: every sender keeps as many events as it sends in a second."""
        since = time.monotonic()
        for sender, before in [(sender, sender.told(b"k")) for sender in (*self.world.acked, *self.world.on_disk)]:
            while sender.told(b"k") < before + sender.rate and not self.stopped.wait(POLL_S):
                if time.monotonic() - since > FLOW_PATIENCE_S:
                    raise AssertionError(f"{sender.name}: it keeps nothing though the broker is back")

    def kill_broker(self, dice):
        hold = dice.uniform(0.05, 0.05 + self.world.options.seconds / 20)
        with self.world.broker_lock:
            killed = time.monotonic()
            self.world.stack.kill_kafka()
            try:
                self.stopped.wait(hold)
            finally:
                self.world.stack.start_kafka()
            answers = time.monotonic() - killed
            self.await_flow()
        self.counts["broker killed"] += 1
        self.world.say(f"broker killed, back after {answers:.1f} s, acks after {time.monotonic() - killed:.1f} s")

    def kill_daemons(self, dice):
        for served in dice.sample(self.world.served, len(self.world.served)):
            pause = dice.uniform(0.05, 0.5)
            served.kill(pause, self.stopped)
            self.counts[f"{served.name} killed"] += 1
            self.world.say(f"{served.name} killed, another runs {pause:.1f} s later")

    def fill_disk(self, dice):
        """Until each spool has refused somebody, and a moment longer."""
        hold = dice.uniform(0.5, 2)
        before = {sender: sender.told(b"dl") for sender in self.world.on_disk}
        filled = time.monotonic()
        self.world.disk.fill()
        try:
            for sender, refused in before.items():
                while sender.told(b"dl") == refused and not self.stopped.wait(POLL_S):
                    if time.monotonic() - filled > DISK_PATIENCE_S:
                        raise AssertionError(f"{sender.name}: nobody was refused though the disk is full")
            self.stopped.wait(hold)
        finally:
            self.world.disk.free()
        self.counts["disk filled"] += 1
        self.world.say(f"disk full for {time.monotonic() - filled:.1f} s")

    def run(self):
        """All of it, and as long as was asked for."""
        end = self.began + self.world.options.seconds
        for lane in self.lanes:
            lane.start()
        try:
            while not self.stopped.is_set() and (time.monotonic() < end or any(lane.is_alive() for lane in self.lanes)):
                self.stopped.wait(0.2)
                self.world.check()
        finally:  # what a lane broke it heals, also when the drill is told to stop
            self.stopped.set()
            for lane in self.lanes:
                lane.join(240)
            self.lasted = time.monotonic() - self.began
        if self.failure:
            raise self.failure
