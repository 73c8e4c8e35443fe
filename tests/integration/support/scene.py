"""A scene for one test: a database and a topic of its own on the shared stack, and the programs.

Nothing here waits by sleeping for a fixed time: wait_until() polls a condition against a deadline
and says what it was waiting for.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

BROKERS = os.environ["TALLY_TEST_BROKERS"]
BIN = os.environ["TALLY_TEST_BIN"]
CONNINFO = os.environ["TALLY_TEST_PG"]
PARTITIONS = 4
_numbers = itertools.count(1)


def use_stack(stack):
    """Scenes made from now on stand on another stack than the shared one."""
    global BROKERS, CONNINFO
    BROKERS, CONNINFO = stack.brokers, stack.conninfo


def wait_until(condition, what, seconds=120):
    """The condition's first true value; past the deadline fails with `what` (text or function)."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def end_of(consumer, topic, partition, seconds=60):
    """The offset after the partition's last record. A broker that has just come back, whom the client still takes for
    away, or who does not lead the partition yet, is asked again: whatever its error says of that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def conninfo_with(**settings):
    """The stack's connection string with other settings; later ones win in libpq."""
    return CONNINFO + "".join(f" {key}={value}" for key, value in settings.items())


def psql(conninfo, sql):
    """Rows as lists of texts."""
    done = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\x1f", "-R", "\x1e", conninfo, "-c", sql],
        capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{sql}: {done.stderr}")
    text = done.stdout.rstrip("\n")
    return [row.split("\x1f") for row in text.split("\x1e")] if text else []


def create_topic(name, partitions=PARTITIONS, timestamp_type="LogAppendTime"):
    admin = AdminClient({"bootstrap.servers": BROKERS})
    topic = NewTopic(name, partitions, 1, config={"message.timestamp.type": timestamp_type,
                                                  "max.message.bytes": "1100000"})
    admin.create_topics([topic])[name].result(30)
    await_leaders(admin, name, partitions)


def await_leaders(admin, name, partitions):
    """The broker serves all partitions, not only names them."""
    def has_leaders():
        found = admin.list_topics(name, timeout=10).topics.get(name)
        return found and found.error is None and len(found.partitions) == partitions and all(
            p.leader >= 0 for p in found.partitions.values())
    wait_until(has_leaders, f"leaders of {name}")
    latest = {TopicPartition(name, p): OffsetSpec.latest() for p in range(partitions)}
    wait_until(lambda: all(offset.exception(10) is None
                           for offset in admin.list_offsets(latest).values()), f"offsets of {name}")


def delete_topic(name):
    admin = AdminClient({"bootstrap.servers": BROKERS})
    admin.delete_topics([name])[name].result(30)
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics, f"{name} is gone")


class Scene:
    def __init__(self, catalogue, topic_options=None, migrate=True):
        number = next(_numbers)
        self.name = f"t{os.getpid()}_{number}"
        self.topic = f"usage.{self.name}"
        self.group = f"group-{self.name}"
        self.dir = tempfile.mkdtemp(prefix="tally-scene-")
        self.database = conninfo_with(dbname=self.name)
        self.aggregators = []
        self.catalogue = catalogue
        psql(CONNINFO, f"CREATE DATABASE {self.name}")
        create_topic(self.topic, **(topic_options or {}))
        if migrate:
            self.admin("migrate")
            self.apply(catalogue)

    def close(self):
        for aggregator in self.aggregators:
            aggregator.kill()
        psql(CONNINFO, f"DROP DATABASE {self.name} WITH (FORCE)")
        AdminClient({"bootstrap.servers": BROKERS}).delete_topics([self.topic])
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        if kind is not None:
            for aggregator in self.aggregators:
                aggregator.show_log()
        self.close()

    def admin(self, verb, *arguments, check=True, database=None):
        done = subprocess.run([f"{BIN}/tally-admin", verb, "--database", database or self.database,
                               *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"tally-admin {verb}: {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def apply(self, catalogue):
        path = f"{self.dir}/catalogue.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(catalogue, file)
        self.admin("apply", path)

    def query(self, sql):
        return psql(self.database, sql)

    def value(self, sql):
        return self.query(sql)[0][0]

    def producer(self, **settings):
        return Producer({"bootstrap.servers": BROKERS, "partitioner": "murmur2_random",
                         "enable.idempotence": True, "linger.ms": 5, **settings})

    def publish(self, records, partition_of=None, **settings):
        """(key, value) or (key, value, headers), each acked by the broker. `partition_of` puts keys
        where the partitioner would not."""
        producer = self.producer(**settings)
        failures = []

        def delivered(error, _message):
            if error is not None:
                failures.append(error)
        for key, value, *headers in records:
            while True:
                try:
                    producer.produce(self.topic, key=key, value=value, on_delivery=delivered,
                                     headers=headers[0] if headers else None,
                                     partition=partition_of(key) if partition_of else -1)
                    break
                except BufferError:
                    producer.poll(0.05)
        left = producer.flush(60)
        assert left == 0 and not failures, f"{left} not delivered, {failures[:3]}"

    def ends(self):
        """One past the last offset, per partition."""
        consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "ends"})
        try:
            count = len(consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions)
            return {p: end_of(consumer, self.topic, p) for p in range(count)}
        finally:
            consumer.close()

    def committed(self):
        return {int(p): int(offset) for p, offset in
                self.query("SELECT partition, next_offset FROM tally.partition_state")}

    def await_all_committed(self, seconds=60):
        ends = self.ends()

        def done():
            stored = self.committed()
            return all(stored.get(p, 0) >= end for p, end in ends.items())
        wait_until(done, lambda: f"the log ends at {ends}, stored is {self.committed()}", seconds)

    def await_all_received(self, seconds=60):
        """Everything in the log is committed, and what was handed off has arrived."""
        self.await_all_committed(seconds)
        waiting = "SELECT coalesce(sum(records), 0) FROM tally.handoff"
        wait_until(lambda: self.value(waiting) == "0",
                   lambda: f"{self.value(waiting)} handed-off records still wait", seconds)

    def grow(self, partitions):
        """The topic has this many partitions, and the broker shows them."""
        admin = AdminClient({"bootstrap.servers": BROKERS})
        admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(30)
        await_leaders(admin, self.topic, partitions)

    def delete_below(self, offsets):
        """As retention does: the records below these offsets are gone."""
        admin = AdminClient({"bootstrap.servers": BROKERS})
        for deleted in admin.delete_records([TopicPartition(self.topic, p, offset)
                                             for p, offset in offsets.items()]).values():
            deleted.result(30)

    def await_owners(self, count, partitions=PARTITIONS):
        """All partitions are acquired, by this many owners."""
        wait_until(lambda: self.value(
            f"SELECT count(*) = {partitions} AND count(DISTINCT owner) = {count} "
            "FROM tally.partition_state") == "t", f"{count} owners", 60)

    def aggregator(self, **options):
        aggregator = Aggregator(self, len(self.aggregators) + 1, **options)
        self.aggregators.append(aggregator)
        return aggregator


class Aggregator:
    def __init__(self, scene, number, failpoints="", database=None, workers=1, brokers=None,
                 instance="", arguments=()):
        self.scene = scene
        self.name = f"aggregator {number}"
        self.port_file = f"{scene.dir}/port-{number}"
        self.log_path = f"{scene.dir}/log-{number}"
        environment = dict(os.environ, TALLY_FAILPOINTS=failpoints)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [f"{BIN}/tally-aggregator", "--brokers", brokers or BROKERS, "--topic", scene.topic,
                 "--group", scene.group, "--database", database or scene.database,
                 "--workers", str(workers), "--commit-interval-ms", "100",
                 "--listen", "127.0.0.1:0", "--port-file", self.port_file,
                 *(["--instance", instance] if instance else []), *arguments],
                env=environment, stdout=log, stderr=log)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def events(self, name):
        found = []
        for line in self.log().splitlines():
            if f'"event":"{name}"' in line:
                found.append(json.loads(line))
        return found

    def show_log(self):
        print(f"--- {self.name} (exit {self.process.poll()})\n" + self.log()[-6000:])

    def running(self):
        return self.process.poll() is None

    def get(self, path):
        """(status, body); (0, "") while nobody listens."""
        try:
            with open(self.port_file, encoding="utf-8") as file:
                port = int(file.read())
        except (FileNotFoundError, ValueError):
            return 0, ""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def await_ready(self, seconds=40):
        def ready():
            assert self.running(), f"{self.name} ended: {self.log()[-2000:]}"
            return self.get("/readyz")[0] == 200
        wait_until(ready, lambda: f"{self.name} ready: {self.get('/readyz')}", seconds)

    def await_not_ready(self, *words, seconds=40):
        """/readyz says no, and its body holds each of the words."""
        def says():
            assert self.running(), f"{self.name} ended: {self.log()[-2000:]}"
            status, body = self.get("/readyz")
            return status == 503 and all(word in body for word in words)
        wait_until(says, lambda: f"{words} in {self.get('/readyz')}", seconds)

    def await_killed(self, seconds=40):
        wait_until(lambda: not self.running(), f"{self.name} dies at its failpoint", seconds)
        assert self.process.returncode == -signal.SIGKILL, self.process.returncode

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; exits with 0 in time."""
        self.process.terminate()
        assert self.process.wait(60) == 0, self.process.returncode

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait(30)
