"""The disk spool in real processes: killed in a loop, without a broker, on a disk that fills up or turns
read-only. What was called kept arrives, each record as it was offered."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

from confluent_kafka import Consumer, TopicPartition

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support import scene  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import create_topic, end_of, use_stack, wait_until  # noqa: E402

DRIVER = os.path.join(os.environ["TALLY_TEST_BIN"], "spool_driver")
NOBODY = "127.0.0.1:9"
GIGABYTE = 1 << 30


class Driver:
    """A process that spools events FIRST to FIRST+COUNT; what it says goes to a file, which no kill loses."""

    def __init__(self, folder, topic, brokers, first, count, rate, end, max_bytes=GIGABYTE):
        self.said = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.complaints = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [DRIVER, folder, str(max_bytes), brokers, topic, str(first), str(count), str(rate), end],
            stdout=self.said, stderr=self.complaints)
        self.read_bytes, self.parsed = 0, []

    def lines(self):
        """[word, rest] of every whole line so far."""
        with open(self.said.name, "rb") as file:
            file.seek(self.read_bytes)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self.read_bytes += len(whole) + 1
            self.parsed += [line.partition(" ")[::2] for line in whole.decode().split("\n")]
        return self.parsed

    def kept(self):
        return [rest for word, rest in self.lines() if word == "kept"]

    def has_said(self, word):
        return any(line[0] == word for line in self.lines())

    def complained(self):
        with open(self.complaints.name, encoding="utf-8") as file:
            return file.read()

    def await_kept(self, count):
        wait_until(lambda: len(self.kept()) >= count, lambda: f"{count} kept, {len(self.kept())} are; "
                   + self.complained())

    def kill(self):
        self.process.kill()
        self.process.wait()
        return self.kept()

    def account(self):
        """Waits for its end: everything it kept or found is with the broker."""
        code = self.process.wait(150)
        if code != 0:
            raise AssertionError(f"the driver ended with {code}: {self.complained()}")
        account = json.loads(next(rest for word, rest in self.lines() if word == "account"))
        ended = sum(account[name] for name in ("delivered", "refused", "lost", "torn", "waiting"))
        if account["found"] + account["spooled"] != ended:
            raise AssertionError(f"the account does not balance: {account}")
        return account


def value_of(key):
    return ('{"specversion":"1.0","id":"%s","source":"/driver","type":"t","subject":"tenant",'
            '"data":{"n":1,"pad":"%s"}}' % (key, key.ljust(200, "-")))


def read_topic(topic):
    """All records of the topic: key to the number of copies; each must be as it was offered."""
    consumer = Consumer({"bootstrap.servers": scene.BROKERS, "group.id": "spool_test", "enable.auto.commit": False})
    partitions = [TopicPartition(topic, p, 0) for p in range(scene.PARTITIONS)]
    ends = [end_of(consumer, topic, p) for p in range(scene.PARTITIONS)]
    consumer.assign(partitions)
    copies, left = {}, sum(ends)
    while left > 0:
        message = consumer.poll(30)
        if message is None or message.error():
            raise AssertionError(f"{left} records cannot be read: {message and message.error()}")
        left -= 1
        key = message.key().decode()
        copies[key] = copies.get(key, 0) + 1
        if message.value().decode() != value_of(key):
            raise AssertionError(f"{key} is not what was offered: {message.value()!r}")
    consumer.close()
    return copies


class Spool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_broker())

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tally-spool-")
        self.addCleanup(shutil.rmtree, self.root)
        self.folder = f"{self.root}/spool"
        self.topic = f"spool.{self.id().rsplit('.', 1)[1]}"
        create_topic(self.topic)

    def driver(self, first, count, rate=20_000, end="stay", brokers=None, folder=None, **more):
        return Driver(folder or self.folder, self.topic, brokers or scene.BROKERS, first, count, rate, end, **more)

    def expect_arrived(self, kept):
        copies = read_topic(self.topic)
        missing = [key for key in kept if key not in copies]
        self.assertEqual(missing[:5], [], f"{len(missing)} of {len(kept)} kept records never arrived")
        return copies

    def test_killed_in_a_loop_without_a_broker(self):
        dice = random.Random(61)
        kept = []
        for life in range(25):
            driver = self.driver(life * 1_000_000, 1_000_000, brokers=NOBODY, rate=30_000)
            driver.await_kept(dice.randrange(1, 4_000))
            kept += driver.kill()
        account = self.driver(999_000_000, 10, end="drain").account()
        self.assertGreaterEqual(account["found"], len(kept))
        self.assertEqual((account["lost"], account["torn"], account["refused"]), (0, 0, 0))
        copies = self.expect_arrived(kept)
        # Nothing was ever sent before: nothing arrives twice.
        self.assertEqual(max(copies.values()), 1)

    def test_killed_in_a_loop_while_it_sends(self):
        dice = random.Random(62)
        kept = []
        for life in range(15):
            driver = self.driver(life * 1_000_000, 1_000_000)
            driver.await_kept(dice.randrange(1, 6_000))
            kept += driver.kill()
        account = self.driver(999_000_000, 10, end="drain").account()
        self.assertEqual((account["lost"], account["torn"], account["refused"]), (0, 0, 0))
        self.expect_arrived(kept)

    def test_the_broker_is_killed_and_comes_back(self):
        driver = self.driver(0, 120_000, rate=4_000, end="drain")
        driver.await_kept(4_000)
        for _ in range(2):
            self.stack.kill_kafka()
            before = len(driver.kept())
            driver.await_kept(min(before + 8_000, 120_000))  # nobody waits for the broker
            self.stack.start_kafka()
        account = driver.account()
        self.assertEqual(account["delivered"], 120_000)
        kept = driver.kept()
        self.assertEqual(len(kept), 120_000)
        self.expect_arrived(kept)

    def test_a_second_owner_is_refused(self):
        driver = self.driver(0, 1_000_000)
        driver.await_kept(10)
        second = self.driver(0, 1)
        self.assertEqual(second.process.wait(20), 2)
        self.assertIn(f"in use by process {driver.process.pid}", second.complained())
        self.assertIn(self.folder, second.complained())
        driver.kill()
        third = self.driver(5_000_000, 1, end="drain")
        third.account()

    @unittest.skipIf(os.geteuid() != 0, "only root can mount a small disk")
    def test_a_disk_that_fills_up_and_turns_read_only(self):
        disk = f"{self.root}/disk"
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        driver = self.driver(0, 40_000, rate=10_000, end="drain", brokers=scene.BROKERS, folder=f"{disk}/spool",
                             max_bytes=GIGABYTE)
        driver.await_kept(1_000)
        self.stack.kill_kafka()
        # 40,000 events take 15 MB; with the ballast there is room for a few thousand.
        with open(f"{disk}/ballast", "wb") as ballast:
            ballast.write(bytes(14 << 20))
        wait_until(lambda: driver.has_said("full"), lambda: "the disk is full; " + driver.complained())
        os.remove(f"{disk}/ballast")
        before = len(driver.kept())
        driver.await_kept(before + 1_000)
        self.stack.start_kafka()
        driver.account()
        kept = driver.kept()
        refused = {line[1].split(" ")[1] for line in driver.lines() if line[0] == "not_kept"}
        self.assertLessEqual(refused, {"disk_full"})
        self.expect_arrived(kept)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        read_only = self.driver(0, 1, folder=f"{disk}/spool")
        self.assertEqual(read_only.process.wait(20), 2)
        self.assertIn("Read-only file system", read_only.complained())

    def test_a_record_that_the_topic_refuses_is_set_aside(self):
        # Not even one compressed record fits.
        self.stack.call(f'kafka_java kafka.admin.ConfigCommand --bootstrap-server {scene.BROKERS} --alter '
                        f'--entity-type topics --entity-name {self.topic} --add-config max.message.bytes=100')
        account = self.driver(0, 20, end="drain").account()
        self.assertEqual(account["refused"], 20)
        with open(f"{self.folder}/refused.ndjson", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual([line["key"] for line in lines], [f"id-{i}" for i in range(20)])
        self.assertEqual({line["reason"] for line in lines}, {"MSG_SIZE_TOO_LARGE"})
        self.assertEqual(lines[3]["value"], value_of("id-3"))


if __name__ == "__main__":
    unittest.main()
