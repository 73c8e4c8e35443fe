"""The client library while its broker is killed and comes back: nobody waits for it, what was called kept is in the
log once, what was not is in a number, and the stream shows where something is missing."""

import json
import os
import signal
import subprocess
import sys
import unittest
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import BIN, create_topic, use_stack, wait_until  # noqa: E402

RATE = 2_000


class Recorder:
    """tally-recorder and the file that it leaves (tests/support/recorder/README.md)."""

    def __init__(self, folder, brokers, topic, events, *options):
        self.path = f"{folder}/{topic}.told"
        self.process = subprocess.Popen(
            [f"{BIN}/tally-recorder", "--brokers", brokers, "--topic", topic, "--file", self.path, "--events",
             str(events), "--rate", str(RATE), *options], stdout=subprocess.PIPE, text=True)

    def told(self):
        """What was told about each event, and how often."""
        if not os.path.exists(self.path):
            return Counter()
        with open(self.path, "rb") as file:
            return Counter(chr(byte) for byte in file.read() if byte)

    def events(self, *told):
        with open(self.path, "rb") as file:
            return {f"r-{number}" for number, byte in enumerate(file.read()) if chr(byte) in told}

    def account(self):
        said, _ = self.process.communicate(timeout=180)
        return json.loads(said)


def read_all(brokers, topic):
    """Every event of the topic, parsed."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic, "enable.partition.eof": True,
                         "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    ended, events = set(), []
    while len(ended) < len(partitions):
        for message in consumer.consume(10_000, timeout=1):
            if message.error():
                ended.add(message.partition())
            else:
                event = json.loads(message.value())
                assert message.key().decode() == event["id"], message.key()
                events.append(event)
    consumer.close()
    return events


class LibraryOutage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_broker())
        cls.folder = cls.stack.dir

    def setUp(self):
        self.stack.start_kafka()  # where another test left it killed

    def recorder(self, topic, events, *options):
        create_topic(topic)
        return Recorder(self.folder, self.stack.brokers, topic, events, *options)

    def test_a_broker_killed_twice_loses_nothing_and_nobody_waits(self):
        events = 60 * RATE  # a kill and a start take seconds on a busy machine
        recorder = self.recorder("killed", events)
        for _ in range(2):
            before = recorder.told().total()
            wait_until(lambda: recorder.told()["k"] > before + RATE, "events are kept")
            self.stack.kill_kafka()
            before = recorder.told().total()
            wait_until(lambda: recorder.told().total() > before + RATE, "it goes on without the broker")
            self.stack.start_kafka()
        account = recorder.account()
        self.assertEqual(recorder.told(), Counter(k=events))
        self.assertEqual((account["accepted"], account["delivered"], account["failed"], account["dropped"]),
                         (events, events, 0, 0))
        # A kill and a start take seconds; only the machine itself may have held a call up.
        self.assertLess(account["longest_us"], 1_000_000)
        found = read_all(self.stack.brokers, "killed")
        self.assertEqual(Counter(event["id"] for event in found),
                         Counter(f"r-{number}" for number in range(events)))
        self.assertEqual({event["tallystream"] for event in found}, {account["stream"]})
        self.assertEqual(sorted(int(event["tallyseq"]) for event in found), list(range(1, events + 1)))

    def test_what_an_outage_costs_is_counted_and_shows_as_a_gap(self):
        events = 16_000
        recorder = self.recorder("costly", events, "--delivery-timeout-ms", "1500", "--queue-events", "2000")
        wait_until(lambda: recorder.told()["k"] >= 2_000, "events are kept")
        self.stack.kill_kafka()
        wait_until(lambda: recorder.told()["l"] > 0 and recorder.told()["d"] > 0, "events are lost and dropped")
        self.stack.start_kafka()
        account, told = recorder.account(), recorder.told()
        self.assertEqual(told["a"], 0)
        self.assertEqual((told["k"], told["l"] + told["n"], told["d"]),
                         (account["delivered"], account["failed"], account["dropped"]))
        self.assertEqual(account["accepted"], account["delivered"] + account["failed"])
        self.assertGreater(told["k"], 2_000, "it did not recover")
        found = read_all(self.stack.brokers, "costly")
        ids = Counter(event["id"] for event in found)
        self.assertEqual(set(ids.values()), {1})
        self.assertLessEqual(recorder.events("k"), set(ids))
        # A lost one may be there all the same: its answer was cut. A dropped one never is.
        self.assertEqual(set(ids) & recorder.events("d"), set())
        places = {int(event["tallyseq"]) for event in found}
        self.assertLessEqual(max(places), account["accepted"])
        missing = account["accepted"] - len(places)
        self.assertEqual(missing, len(recorder.events("l") - set(ids)))

    def test_sigkill_leaves_what_was_kept_and_a_retry_is_whole(self):
        events = 12_000
        recorder = self.recorder("retried", events)
        wait_until(lambda: recorder.told()["k"] >= 3_000, "events are kept")
        recorder.process.send_signal(signal.SIGKILL)
        recorder.process.communicate()
        kept = recorder.events("k")
        again = Recorder(self.folder, self.stack.brokers, "retried", events, "--retry")
        self.assertEqual(again.account()["failed"], 0)
        self.assertEqual(again.told(), Counter(k=events))
        found = read_all(self.stack.brokers, "retried")
        ids = Counter(event["id"] for event in found)
        self.assertEqual(set(ids), {f"r-{number}" for number in range(events)})
        # Only what was not called kept was sent again; the aggregator knows it by its id.
        self.assertEqual({name for name, count in ids.items() if count > 1} & kept, set())
        self.assertEqual(len({event["tallystream"] for event in found}), 2)

    def test_what_the_spool_kept_before_a_sigkill_is_delivered_by_the_next_process(self):
        events = 100 * RATE  # more than there is time for: somebody has the folder open all the while
        options = ["--level", "spooled", "--spool", f"{self.folder}/spool"]
        recorder = self.recorder("spooled", events, *options)
        wait_until(lambda: recorder.told()["k"] >= RATE, "events are kept")
        self.stack.kill_kafka()
        before = recorder.told()["k"]
        wait_until(lambda: recorder.told()["k"] > before + RATE, "events are kept without the broker")
        recorder.process.send_signal(signal.SIGKILL)
        recorder.process.communicate()
        kept = recorder.events("k")
        again = Recorder(self.folder, self.stack.brokers, "spooled", events, *options)
        wait_until(lambda: again.told()["k"] > len(kept), "the next process keeps events")
        self.stack.start_kafka()
        wait_until(lambda: kept <= {event["id"] for event in read_all(self.stack.brokers, "spooled")},
                   "what the first process kept is delivered", 90)
        again.process.send_signal(signal.SIGTERM)
        account = again.account()
        self.assertEqual((account["spooled"], account["delivered"], account["failed"]), (account["accepted"], 0, 0))
        self.assertEqual(again.told()["k"], len(kept) + account["spooled"])


if __name__ == "__main__":
    unittest.main()
