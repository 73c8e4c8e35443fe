"""What the drill runs on: a Kafka and a Postgres of its own, an aggregator, two daemons and four senders."""

import contextlib
import os
import shutil
import threading
import time
from decimal import Decimal

from confluent_kafka import Consumer, TopicPartition

import disk
from senders import Http, Library, Served
from faults import BROKER_KILLS
from support import scene
from support.private_stack import PrivateStack

CATALOGUE = {"meters": [
    {"slug": "calls", "event_type": "api.request", "aggregation": "count", "window": "hour"},
    {"slug": "numbers", "event_type": "api.request", "aggregation": "sum", "value": "/n", "window": "hour"},
], "plans": [], "tenants": []}
CLASSES = ("counted", "readmitted", "duplicate", "conflict", "late", "rejected", "unmetered", "filtered", "lost",
           "handed_off", "consumed")
PAD = 500  # bytes in what goes through a spool: a segment is full after some twenty seconds
STILL_S = 90  # after the storm: spools that are not emptied, a log that is not committed, for so long never will be
LEAST_OF_ACKED = 0.25  # offered, of its events that are due: each request waits while the broker is away
LEAST_KEPT_ON_DISK = 0.5  # of the events that are due: only kills and the full disk keep a spool from keeping
AT_REST_S = 45  # a log that took nothing for so long gets nothing more


def wait_while_it_advances(done, look):
    """Until `done` is true of what `look` tells; fails once that has not changed for STILL_S."""
    seen, since = look(), time.monotonic()
    while not done(seen):
        time.sleep(0.2)
        before, seen = seen, look()
        if seen != before:
            since = time.monotonic()
        elif time.monotonic() - since > STILL_S:
            raise AssertionError(f"for {STILL_S} s nothing went on: {seen}")


class World:
    def __init__(self, options, say):
        self.options, self.say = options, say
        self.dir = options.dir
        self.broker_lock = threading.Lock()
        self.stack, self.scene, self.disk, self.aggregator = None, None, None, None
        self.served, self.senders, self.acked, self.on_disk = [], [], [], []
        self.read_to = {}

    def start(self):
        disk.unmount(f"{self.dir}/disk", "--lazy")  # of a run that was killed: what it left may hold it open
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.stack = PrivateStack()
        self.stack.start()
        scene.use_stack(self.stack)
        path = f"{self.dir}/disk"
        self.disk = disk.SmallDisk(path) if disk.mounted(path) else disk.BoundedSpools(path, self.stack, self.broker_lock)
        self.say(f"the spools stand on {self.disk.kind}")
        self.scene = scene.Scene(CATALOGUE)
        self.aggregator = self.scene.aggregator()
        self.aggregator.await_ready()
        acked = Served(self, "serve acked", level="acked", delivery_timeout_ms=4000)
        spooled = Served(self, "serve spooled", level="spooled", spool_folder=f"{path}/serve", spool_mb=self.disk.spool_mb)
        self.served = [acked, spooled]
        for one in self.served:
            one.start()
        rate = self.options.rate // 4
        self.senders = [Library(self, "library acked", "la", rate),
                        Library(self, "library spooled", "ls", rate, PAD, f"{path}/library"),
                        Http(self, acked, "http acked", "ha", rate, least=LEAST_OF_ACKED),
                        Http(self, spooled, "http spooled", "hs", rate, PAD)]
        self.acked, self.on_disk = self.senders[0::2], self.senders[1::2]

    @property
    def books(self):
        return [sender.book for sender in self.senders]

    def least_of(self, sender):
        """Events that it must have offered in the storm, and kept: where the broker's acks are waited for, those that it was
        waited for behind each kill; on disk, of a storm as long as planned, for one whose faults heal slowly fills the disk."""
        kept = LEAST_KEPT_ON_DISK * self.options.seconds if sender in self.on_disk else BROKER_KILLS
        return round(sender.least * sender.rate * sender.storm_seconds), round(kept * sender.rate)

    def check(self):
        """Nobody ended by itself."""
        for one in (*self.served, *self.senders):
            one.check()
        if not self.aggregator.running():
            raise AssertionError(f"the aggregator ended: {self.aggregator.log()[-2000:]}")

    def read_log(self, ends):
        """Counts the copies of each event up to there."""
        consumer = Consumer({"bootstrap.servers": self.stack.brokers, "group.id": "drill", "enable.auto.commit": False})
        consumer.assign([TopicPartition(self.scene.topic, p, self.read_to.get(p, 0)) for p in ends])
        books = {book.prefix: book for book in self.books}
        left = {p for p, end in ends.items() if self.read_to.get(p, 0) < end}
        while left:
            for message in consumer.consume(10_000, timeout=10):
                if message.error():
                    raise AssertionError(str(message.error()))
                partition, offset = message.partition(), message.offset()
                if offset < ends[partition]:
                    prefix, _, number = message.key().decode().partition("-")
                    books[prefix].saw(int(number))
                    self.read_to[partition] = offset + 1
                if offset + 1 >= ends[partition]:
                    left.discard(partition)
        consumer.close()

    def settle(self):
        """Everything kept is in the log, the log is at rest, and all of it is read and committed."""
        for one in self.served:
            if "found" in one.look()["spool"]:
                wait_while_it_advances(lambda spool: spool["waiting"] == 0, lambda one=one: one.look()["spool"])
        ends, rest = None, time.monotonic()
        while ends != (now := self.scene.ends()) or not all(book.kept_is_there() for book in self.books):
            if now != ends:
                ends, rest = now, time.monotonic()
                self.read_log(ends)
                wait_while_it_advances(lambda stored, ends=ends: all(stored.get(p, 0) >= end for p, end in ends.items()),
                                       self.scene.committed)
            elif time.monotonic() - rest > AT_REST_S:
                self.say(f"what was kept is not all in the log, to which nothing came for {AT_REST_S} s")
                break
            else:
                time.sleep(0.2)

    def totals(self):
        """tenant -> (events, the sum of their numbers), as Postgres has them."""
        found = {}
        for tenant, meter, quantity in self.scene.query(
                "SELECT tenant, meter, sum(quantity) FROM tally.usage_window GROUP BY 1, 2"):
            found.setdefault(tenant, {})[meter] = Decimal(quantity)
        return {tenant: (row.get("calls"), row.get("numbers")) for tenant, row in found.items()}

    def ledger(self):
        row = self.scene.query("SELECT " + ", ".join(f"coalesce(sum({name}), 0)" for name in CLASSES) + " FROM tally.ledger")[0]
        return dict(zip(CLASSES, map(int, row)))

    def stop(self):
        """Whatever runs, and all of it by its own pid, though one of them cannot be stopped. The logs and what was told
        stay in the folder."""
        with contextlib.ExitStack() as last_comes_first:
            if self.disk:
                last_comes_first.callback(self.disk.remove)  # once nobody holds a file of it open
            if self.stack:
                last_comes_first.callback(self.stack.stop)
            if self.scene:
                last_comes_first.callback(shutil.rmtree, self.scene.dir, ignore_errors=True)
                for aggregator in self.scene.aggregators:
                    last_comes_first.callback(shutil.copy, aggregator.log_path, f"{self.dir}/aggregator.log")
                    last_comes_first.callback(aggregator.kill)
            for one in (*self.served, *self.senders):
                last_comes_first.callback(one.end)
