"""Two truths beside tally's own. Promised: what the producer was told is in the log, from the operation log.
Logged: what is in the log, read by a client that tally's authors did not write, record by record.

Both read on from where they stopped, so that a run can be audited several times."""

import json
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from confluent_kafka import Consumer, KafkaError, TopicPartition
from oplog import OpLogReader
from stream import LATE, METERS, Event
from totals import Totals, dimensions_of, passes, value_problem

HORIZON = timedelta(days=35)


def identity_of(event):
    """64 bits for a triple: with 10^7 identities two of them agree with a chance of 10^-6, and then it is red."""
    return hash((event.tenant, event.type, event.id))


def class_of(totals, event):
    """What an event is before anybody asks whether it was seen: rejected, unmetered, filtered or countable."""
    meters = totals.meters_of(event.type)
    if not meters:
        return "unmetered"
    takers = [meter for meter in meters if passes(meter, event.data)]
    if not takers:
        return "filtered"
    if all(value_problem(meter, event.data) for meter in takers):
        return "rejected"
    return "countable"


class Promised:
    """Each identity that was acked once at least adds once."""

    def __init__(self, stream, path):
        self.stream = stream
        self.reader = OpLogReader(path)
        self.totals = Totals(METERS)
        self.counted = set()
        self.acked = defaultdict(set)  # partition -> offsets
        self.records = 0
        self.aborted_blocks = set()

    def read_on(self):
        for kind, numbers in self.reader.lines():
            if kind == b"A":
                number, partition, offset = numbers
                self.acked[partition].add(offset)
                self.records += 1
                self.take(number)
            elif kind == b"X":
                self.aborted_blocks.add(numbers[0])

    def take(self, number):
        record = self.stream.record(number)
        if record.kind == "bad" or record.altered == "copy":
            return
        event = record.body
        identity = identity_of(event)
        if identity in self.counted or self.stream.base - event.time > LATE / 2:
            return
        if class_of(self.totals, event) == "countable":
            self.counted.add(identity)
            self.totals.add(event)


class Logged:
    """Classes, rejects and totals from the records themselves, in the order of the log."""

    def __init__(self, brokers, topic, bad_reasons):
        self.brokers, self.topic = brokers, topic
        self.bad_reasons = bad_reasons
        self.totals = Totals(METERS)
        self.seen = {}
        self.classes = defaultdict(Counter)  # partition -> class -> records
        self.rejects = {}                    # (partition, offset) -> (class, reason)
        self.offsets = defaultdict(set)
        self.next = {}

    def read_on(self, ends):
        """Up to the ends, one past the last offset of each partition."""
        left = {p: end for p, end in ends.items() if self.next.get(p, 0) < end}
        if not left:
            return
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "chaos-auditor",
                             "enable.auto.commit": False, "isolation.level": "read_committed",
                             "enable.partition.eof": True, "log_level": 0})
        try:
            consumer.assign([TopicPartition(self.topic, p, self.next.get(p, 0)) for p in left])
            given = time.monotonic()
            while left:
                messages = consumer.consume(2000, 0.1)  # it waits for all of them, or so long
                if messages:
                    given = time.monotonic()
                elif time.monotonic() - given > 30:
                    raise RuntimeError(f"partitions {sorted(left)}: the broker gave nothing for 30 s")
                for message in messages:
                    self.take_in(message, left)
        finally:
            consumer.close()
        self.next.update(ends)

    def take_in(self, message, left):
        partition, error = message.partition(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise RuntimeError(f"partition {partition}: {error}")
        if error is not None or message.offset() >= left.get(partition, 0):
            left.pop(partition, None)  # what comes behind the end is for the next audit
        elif partition in left:
            self.take(message)

    def take(self, message):
        partition, offset = message.partition(), message.offset()
        self.offsets[partition].add(offset)
        log_time = datetime.fromtimestamp(message.timestamp()[1] / 1000, timezone.utc)
        record_class, reason = self.decide(message, log_time)
        self.classes[partition][record_class] += 1
        if reason:
            self.rejects[(partition, offset)] = (record_class, reason)

    def decide(self, message, log_time):
        key = message.key().decode()
        if key.startswith("bad"):
            return "rejected", self.bad_reasons(int(key[3:]))
        whole = json.loads(message.value(), parse_float=Decimal, parse_int=Decimal)
        event = Event(whole["id"], whole["subject"], whole["type"], whole["data"],
                      datetime.fromisoformat(whole["time"]))
        kind = class_of(self.totals, event)
        if kind == "rejected":
            problems = [value_problem(meter, event.data) for meter in
                        self.totals.meters_of(event.type) if passes(meter, event.data)]
            return kind, problems[0]
        if kind != "countable":
            return kind, ""
        identity = identity_of(event)
        content = hash(tuple((meter["slug"], dimensions_of(meter, event.data),
                              event.data.get(meter.get("value", " ")[1:]))
                             for meter in self.totals.meters_of(event.type)
                             if passes(meter, event.data)))
        if identity in self.seen:
            same = self.seen[identity] == content
            return ("duplicate", "") if same else ("conflict", "other_content")
        if log_time - event.time > HORIZON:
            return "late", "older_than_horizon"
        self.seen[identity] = content
        self.totals.add(event)
        return "counted", ""


def logged_for(stream, brokers, topic):
    return Logged(brokers, topic, lambda number: stream.record(number).body[0])

