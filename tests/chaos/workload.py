"""The producer: publishes the stream, keeps the operation log, and may be killed at any moment.

It sends each number until the broker acked it. What a killed one may have sent without an ack is sent again
by the next: same number, same bytes. SIGTERM: no new numbers, everything under way is acked, exit 0."""

import argparse
import os
import queue
import signal
import sys
import threading
import time
from datetime import datetime

from confluent_kafka import KafkaException, Producer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from oplog import OpLog, OpLogReader, mend  # noqa: E402
from stream import BLOCK, Stream  # noqa: E402
from support.book import event_text  # noqa: E402

RESERVE = 2000  # numbers
TICK_S = 0.02


def settings_of(arguments, **more):
    return {"bootstrap.servers": arguments.brokers, "enable.idempotence": True, "acks": "all",
            "linger.ms": 10, "topic.metadata.refresh.interval.ms": 3000,
            "reconnect.backoff.max.ms": 1000, "partitioner": "murmur2_random",
            "message.timeout.ms": 60000, "log_level": 0, **more}


def payload(record):
    if record.kind == "bad":
        return record.body[1]
    event = record.body
    return event_text(event.id, event.tenant, event.type, event.data,
                      event.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def produce(producer, topic, record, on_delivery):
    value = payload(record)
    while True:
        try:
            producer.produce(topic, key=record.key, value=value, on_delivery=on_delivery)
            return
        except BufferError:
            producer.poll(0.1)


class PlainLane:
    """Numbers outside transactions. A share may go through a producer with another partitioner."""

    def __init__(self, arguments, stream, log, lock):
        self.arguments, self.stream, self.log, self.lock = arguments, stream, log, lock
        self.producers = {}
        self.pending = set()
        self.again = []
        self.copies = 0  # sent because the fate of the first try is not known

    def producer_for(self, number):
        foreign = number % 1000 < self.arguments.foreign_per_mille
        if foreign not in self.producers:
            more = {"partitioner": "consistent_random"} if foreign else {}
            self.producers[foreign] = Producer(settings_of(self.arguments, **more))
        return foreign, self.producers[foreign]

    def send(self, number):
        foreign, producer = self.producer_for(number)
        self.pending.add(number)
        try:
            produce(producer, self.arguments.topic, self.stream.record(number),
                    lambda error, message: self.delivered(number, error, message))
        except KafkaException:  # a fatal error of the idempotent producer: a new one
            self.renew(foreign)
            self.again.append(number)

    def delivered(self, number, error, message):
        if error is None:
            self.pending.discard(number)
            with self.lock:
                self.log.acked(number, message.partition(), message.offset())
            return
        self.again.append(number)
        self.copies += 1

    def renew(self, foreign):
        old = self.producers.pop(foreign)
        old.purge()
        old.flush(1)

    def poll(self):
        for producer in list(self.producers.values()):
            producer.poll(0)
        again, self.again = self.again[:500], self.again[500:]
        for number in again:
            self.send(number)


class TransactionLane(threading.Thread):
    """Whole blocks, each in one transaction that is committed or aborted."""

    def __init__(self, arguments, stream, log, lock):
        super().__init__(daemon=True)
        self.arguments, self.stream, self.log, self.lock = arguments, stream, log, lock
        self.blocks = queue.Queue(maxsize=30)
        self.producer = None
        self.start()

    def run(self):
        while True:
            block = self.blocks.get()
            if block is None:
                return
            while not self.attempt(block):
                self.producer = None  # the next one's init_transactions() ends what hangs
                time.sleep(0.2)

    def finish(self):
        self.blocks.put(None)

    def attempt(self, block):
        """True when the fate of the block is known and is the wanted one."""
        acks = []

        def delivered(number, error, message):
            if error is None:
                acks.append((number, message.partition(), message.offset()))
        try:
            self.open()
            self.producer.begin_transaction()
            numbers = range(block * BLOCK, (block + 1) * BLOCK)
            for number in numbers:
                produce(self.producer, self.arguments.topic, self.stream.record(number),
                        lambda error, message, number=number: delivered(number, error, message))
            if self.producer.flush(20) != 0 or len(acks) != BLOCK:
                return False
            if self.stream.block_role(block) == "aborted":
                self.producer.abort_transaction(20)
                with self.lock:
                    self.log.aborted(block)
                return True
            self.commit()
        except KafkaException:
            return False
        with self.lock:
            for ack in acks:
                self.log.acked(*ack)
        return True

    def open(self):
        if self.producer is None:
            self.producer = Producer(settings_of(
                self.arguments, **{"transactional.id": f"chaos-{self.arguments.topic}",
                                   "transaction.timeout.ms": 15000, "message.timeout.ms": 15000}))
            self.producer.init_transactions(30)

    def commit(self):
        while True:
            try:
                self.producer.commit_transaction(20)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise


class Workload:
    def __init__(self, arguments):
        self.arguments = arguments
        self.stream = Stream(arguments.seed, datetime.fromisoformat(arguments.base),
                             arguments.baseline)
        mend(arguments.oplog)
        self.reserved, self.plain_left, self.blocks_left = self.unfinished()
        lock = threading.Lock()
        self.log = OpLog(arguments.oplog)
        self.lock = lock
        self.plain = PlainLane(arguments, self.stream, self.log, lock)
        self.transactions = TransactionLane(arguments, self.stream, self.log, lock)
        self.next = self.reserved
        self.stopping = False

    def unfinished(self):
        """What earlier producers may have sent without knowing its fate."""
        reserved, acked, aborted = 0, set(), set()
        for kind, numbers in OpLogReader(self.arguments.oplog).lines():
            if kind == b"R":
                reserved = max(reserved, numbers[0])
            elif kind == b"A":
                acked.add(numbers[0])
            elif kind == b"X":
                aborted.add(numbers[0])
        plain, blocks = [], []
        for block in range(reserved // BLOCK):
            numbers = range(block * BLOCK, (block + 1) * BLOCK)
            if self.stream.block_role(block) == "plain":
                plain += [number for number in numbers if number not in acked]
            elif block not in aborted and not acked.issuperset(numbers):
                blocks.append(block)
        return reserved, plain, blocks

    def run(self):
        for block in self.blocks_left:
            self.transactions.blocks.put(block)
        self.plain.again += self.plain_left
        self.plain.copies += len(self.plain_left)
        began = flushed = time.monotonic()
        sent = 0
        while not self.stopping and self.next < self.arguments.until:
            due = int((time.monotonic() - began) * self.arguments.rate)
            if due - sent > self.arguments.rate:  # held up: the rate is a bound, not a debt
                began, sent, due = time.monotonic(), 0, 0
            while sent < due and self.next < self.arguments.until and len(self.plain.pending) < 50000:
                sent += self.advance()
            self.plain.poll()
            if time.monotonic() - flushed > 0.5:
                flushed = time.monotonic()
                with self.lock:
                    self.log.flush()
            time.sleep(TICK_S)
        return self.finish()

    def advance(self):
        """Sends the next number, or its whole block; returns how many."""
        if self.next == self.reserved:
            self.reserved += RESERVE
            with self.lock:
                self.log.reserve(self.reserved)
        block, place = divmod(self.next, BLOCK)
        if self.stream.block_role(block) != "plain":
            if place == 0:
                self.transactions.blocks.put(block)
            self.next += BLOCK - place
            return BLOCK - place
        self.plain.send(self.next)
        self.next += 1
        return 1

    def finish(self):
        # The rest of the reserved numbers too, so that nothing is left open.
        while self.next < self.reserved:
            self.advance()
        self.transactions.finish()
        deadline = time.monotonic() + self.arguments.drain_seconds
        while (self.plain.pending or self.transactions.is_alive()) and time.monotonic() < deadline:
            self.plain.poll()
            time.sleep(TICK_S)
        self.log.close()
        left = len(self.plain.pending)
        print(f"next={self.next} sent_again={self.plain.copies} left={left}", flush=True)
        return 0 if left == 0 and not self.transactions.is_alive() else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("brokers", "topic", "oplog", "base"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--baseline", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--until", type=int, default=1 << 62, help="the number to stop before")
    parser.add_argument("--foreign-per-mille", type=int, default=0)
    parser.add_argument("--drain-seconds", type=int, default=120)
    workload = Workload(parser.parse_args())

    def stop(_number, _frame):
        workload.stopping = True
    signal.signal(signal.SIGTERM, stop)
    return workload.run()


if __name__ == "__main__":
    sys.exit(main())
