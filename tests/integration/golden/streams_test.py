"""Golden streams on a real broker and database: each variant with one case. The records and the
books are those of tests/golden; only the days are moved, so that today's log time is right."""

import json
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.scene import BIN, Scene  # noqa: E402

CASES = os.path.join(os.environ["TALLY_TEST_ROOT"], "tests/golden/cases")
DAY = (int(time.time()) // 86400 - 1) * 86400  # yesterday: nothing is in the future, nothing late


def golden(case, variant):
    done = subprocess.run([f"{BIN}/tally-golden", f"{CASES}/{case}.txt", "--variant", variant,
                           "--day", str(DAY), "--json"],
                          capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return json.loads(done.stdout)


class Stream:
    """What a variant sends. Order within a partition is the variant's."""

    def __init__(self, scene, records):
        self.scene = scene
        self.records = records
        self.plain = scene.producer()
        self.transactional = None

    def send(self, count=None):
        """The next records, all of them by default; each is acked before this returns."""
        count = len(self.records) if count is None else count
        now, self.records = self.records[:count], self.records[count:]
        failures = []
        for record in now:
            if record["delivery"] == "plain":
                self._produce(self.plain, record, failures)
            else:
                self._transact(record, failures)
        assert self.plain.flush(30) == 0 and not failures, failures

    def _produce(self, producer, record, failures):
        producer.produce(self.scene.topic, key=bytes.fromhex(record["key"]),
                         value=bytes.fromhex(record["value"]), partition=record["partition"],
                         headers=[(name, bytes.fromhex(value)) for name, value in record["headers"]],
                         on_delivery=lambda error, _: error and failures.append(error))

    def _transact(self, record, failures):
        assert self.plain.flush(30) == 0
        if self.transactional is None:
            self.transactional = self.scene.producer(
                **{"transactional.id": self.scene.name, "linger.ms": 0})
            self.transactional.init_transactions(30)
        self.transactional.begin_transaction()
        self._produce(self.transactional, record, failures)
        assert self.transactional.flush(30) == 0
        if record["delivery"] == "aborted":
            self.transactional.abort_transaction(30)
        else:
            self.transactional.commit_transaction(30)


def books_in(scene):
    windows = {tuple(row[:4]): row[4] for row in scene.query(
        "SELECT tenant, meter, extract(epoch FROM window_start)::bigint, dimensions, "
        "'= ' || trim_scale(quantity) || ' of ' || events FROM tally.usage_window UNION ALL "
        "SELECT tenant, meter, extract(epoch FROM window_start)::bigint, dimensions, "
        "'shows ' || trim_scale(reading) || ' of ' || events FROM tally.gauge_window")}
    names = ["counted", "readmitted", "duplicate", "conflict", "late", "rejected", "unmetered",
             "filtered", "skipped", "lost"]
    row = scene.query("SELECT " + ", ".join(f"coalesce(sum({name}), 0)" for name in names) +
                      " FROM tally.ledger")[0]
    classes = {name: int(count) for name, count in zip(names, row) if int(count)}
    rejects = {reason: int(count) for reason, count in scene.query(
        "SELECT CASE meter WHEN '' THEN reason ELSE meter || ': ' || reason END, count(*) "
        "FROM tally.reject GROUP BY 1")}
    return windows, classes, rejects


def differences(expected, scene):
    windows, classes, rejects = books_in(scene)
    wanted = {tuple(map(str, entry["window"])): entry["any_of"] for entry in expected["windows"]}
    rows = [(key, " or ".join(wanted.get(key, ["-"])), windows.get(key, "-"))
            for key in sorted(wanted.keys() | windows.keys())
            if windows.get(key) not in wanted.get(key, [])]
    for said, stands in ((expected["classes"], classes), (expected["rejects"], rejects)):
        rows += [(key, said.get(key, 0), stands.get(key, 0))
                 for key in sorted(said.keys() | stands.keys())
                 if said.get(key, 0) != stands.get(key, 0)]
    return "\n".join(f"{what}: expected {said}, got {stands}" for what, said, stands in rows)


class GoldenStreams(unittest.TestCase):
    def run_case(self, case, variant, failpoints=()):
        """`failpoints`: one life each, which ends there; the last life is undisturbed."""
        expected = golden(case, variant)
        with Scene(expected["catalogue"],
                   topic_options={"partitions": expected["partitions"]}) as scene:
            stream = Stream(scene, expected["records"])
            share = len(stream.records) // (len(failpoints) + 1) if failpoints else None
            stream.send(share)
            for failpoint in failpoints:
                life = scene.aggregator(failpoints=f"aggregator.{failpoint}=kill@1", instance="0")
                life.await_killed()
                stream.send(share)
            owners = [scene.aggregator(instance=str(i)) for i in range(expected["instances"])]
            if len(owners) > 1:
                stream.send(len(stream.records) // 2)
                scene.await_owners(len(owners), expected["partitions"])
            stream.send()
            scene.await_all_received()
            for owner in owners:
                owner.await_ready()
            found = differences(expected, scene)
            self.assertEqual(found, "", f"{case}, {variant}: other books than expected\n{found}\n"
                             f"again: ./dev test -R integration.golden.streams; on the simulated "
                             f"log: tally-golden tests/golden/cases/{case}.txt --variant {variant}")
            if variant == "scattered":
                self.assertNotEqual(scene.value("SELECT sum(handed_off) FROM tally.ledger"), "0")
            done = scene.admin("verify", check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_straight(self):
        self.run_case("plain", "straight")

    def test_duplicated(self):
        self.run_case("several_meters", "duplicated_1")

    def test_shuffled(self):
        self.run_case("conflict", "shuffled_1")

    def test_killed_at_each_commit_point(self):
        self.run_case("decimals", "split_1x1", ["before_commit", "after_fence", "in_commit",
                                                "after_commit", "before_mirror"])

    def test_one_instance_on_one_partition(self):
        self.run_case("unicode", "split_1x1")

    def test_two_instances_on_four_partitions(self):
        self.run_case("gauges", "split_2x4")

    def test_three_instances_on_seven_partitions(self):
        self.run_case("transactions", "split_3x7")

    def test_scattered(self):
        self.run_case("binary", "scattered")


if __name__ == "__main__":
    unittest.main(verbosity=2)
