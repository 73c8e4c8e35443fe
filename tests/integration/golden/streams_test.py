"""Golden streams on a real broker and database: each variant with one case. The records and the
books are those of tests/golden; only the days are moved, so that today's log time is right."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.scene import BIN, Scene  # noqa: E402

sys.path.insert(0, os.path.join(os.environ["TALLY_TEST_ROOT"], "tests/golden"))
from self_test import altered  # noqa: E402

CASES = os.path.join(os.environ["TALLY_TEST_ROOT"], "tests/golden/cases")
TODAY = int(time.time()) // 86400
# What the aggregator accepts at most: clocks change twice a year, and a case about that must be in reach.
REACH_DAYS = 243
HORIZON = ("--horizon-seconds", str(REACH_DAYS * 86400))
FULL = 10_000  # kMaxDimensionCombinations
COMMIT_POINTS = ["before_commit", "after_fence", "in_commit", "after_commit", "before_mirror"]


def first_days():
    """The last day on which a case of each rule is over, as days since 1970. A case without a rule
    begins yesterday: nothing is in the future, nothing late."""
    def last(holds):
        return next(day for day in range(TODAY - 2, TODAY - 400, -1) if holds(date_of(day)))

    def last_sunday_of(month):
        return lambda date: date.month == month and date.weekday() == 6 and date.day > 31 - 7
    return {"": TODAY - 1, "the 15th of a month": last(lambda date: date.day == 15),
            "a last Sunday of October": last(last_sunday_of(10)),
            "a last Sunday of March": last(last_sunday_of(3))}


def date_of(day):
    return datetime.fromtimestamp(day * 86400, timezone.utc).date()


FIRST_DAYS = first_days()


def first_day_of(case):
    with open(f"{CASES}/{case}.txt", encoding="utf-8") as file:
        rule = re.search(r"^first_day\n  \S+ +(.*)$", file.read(), re.M)
    return FIRST_DAYS[rule[1] if rule else ""]


def in_reach(case):
    return TODAY + 1 - first_day_of(case) + 2 < REACH_DAYS  # records of up to 2 days before


def golden(case, variant, path=None):
    done = subprocess.run([f"{BIN}/tally-golden", path or f"{CASES}/{case}.txt", "--variant",
                           variant, "--day", str(first_day_of(case) * 86400), "--json"],
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


# Everything that stands in the totals: key, then kind, value, events, end, time of the reading.
TOTALS = """
SELECT tenant, meter, span, extract(epoch FROM s)::bigint, dimensions,
       kind, value, events, extract(epoch FROM e)::bigint,
       (extract(epoch FROM read_at) * 1000000)::bigint
  FROM (
    SELECT tenant, meter, 'window' AS span, window_start AS s, window_end AS e, dimensions,
           '=' AS kind, trim_scale(quantity)::text AS value, events, NULL::timestamptz AS read_at
      FROM tally.usage_window
    UNION ALL SELECT tenant, meter, 'window', window_start, window_end, dimensions,
           'shows', trim_scale(reading)::text, events, read_at FROM tally.gauge_window
    UNION ALL SELECT tenant, meter, span, span_start, span_end, '{}',
           '=', trim_scale(quantity)::text, events, NULL FROM tally.usage_total
    UNION ALL SELECT tenant, meter, span, span_start, span_end, dimensions,
           'shows', trim_scale(reading)::text, events, read_at FROM tally.gauge_total
    UNION ALL SELECT tenant, meter, span, span_start, span_end, dimensions,
           'unique', members::text, events, NULL FROM tally.unique_set) stored"""


def books_in(scene, spans):
    totals = {tuple(row[:5]): row[5:] for row in scene.query(TOTALS) if row[2] in spans}
    names = ["counted", "readmitted", "duplicate", "conflict", "late", "rejected", "unmetered",
             "filtered", "skipped", "lost"]
    row = scene.query("SELECT " + ", ".join(f"coalesce(sum({name}), 0)" for name in names) +
                      " FROM tally.ledger")[0]
    classes = {name: int(count) for name, count in zip(names, row) if int(count)}
    rejects = {reason: int(count) for reason, count in scene.query(
        "SELECT CASE meter WHEN '' THEN reason ELSE meter || ': ' || reason END, count(*) "
        "FROM tally.reject GROUP BY 1")}
    return totals, classes, rejects


def alike(said, stands):
    """What a case does not say (null) is not compared."""
    return all(wanted is None or str(wanted) == found for wanted, found in zip(said, stands))


def differences(expected, books):
    totals, classes, rejects = books
    wanted = {tuple(map(str, key)): any_of for key, any_of in expected["totals"]}
    rows = [(key, " or ".join(map(str, wanted.get(key, ["-"]))), totals.get(key, "-"))
            for key in sorted(wanted.keys() | totals.keys())
            if not any(alike(said, totals[key]) for said in wanted.get(key, []) if key in totals)]
    for said, stands in ((expected["classes"], classes), (expected["rejects"], rejects)):
        rows += [(key, said.get(key, 0), stands.get(key, 0))
                 for key in sorted(said.keys() | stands.keys())
                 if said.get(key, 0) != stands.get(key, 0)]
    return "\n".join(f"{what}: expected {said}, got {stands}" for what, said, stands in rows)


def prepare(scene, expected):
    """The billing periods, and months of the dimension guard that are full."""
    def text(second):
        return f"to_timestamp({second})"
    for tenant, start, end in expected["periods"]:
        scene.query("INSERT INTO tally.billing_period "
                    f"VALUES ('{tenant}', {text(start)}, {text(end)})")
    for tenant, meter, month, dimensions in expected["admitted"]:
        date = f"({text(month)} AT TIME ZONE 'UTC')::date"
        scene.query("INSERT INTO tally.dimension_combination "
                    f"VALUES ('{tenant}', '{meter}', {date}, '{dimensions}')")
    scene.query(
        "INSERT INTO tally.dimension_combination SELECT tenant, meter, month, "
        "'{\"key\":\"filler ' || n || '\"}' FROM (SELECT tenant, meter, month, count(*) AS taken "
        f"FROM tally.dimension_combination GROUP BY 1, 2, 3) c, generate_series(1, {FULL} - taken) n")
    scene.query("INSERT INTO tally.dimension_month SELECT tenant, meter, month, count(*) "
                "FROM tally.dimension_combination GROUP BY 1, 2, 3")


class GoldenStreams(unittest.TestCase):
    def run_case(self, case, variant, failpoints=()):
        """`failpoints`: one life each, which ends there; the last life is undisturbed."""
        expected = golden(case, variant)
        with Scene(expected["catalogue"],
                   topic_options={"partitions": expected["partitions"]}) as scene:
            prepare(scene, expected)
            stream = Stream(scene, expected["records"])
            share = len(stream.records) // (len(failpoints) + 1) if failpoints else None
            stream.send(share)
            for failpoint in failpoints:
                life = scene.aggregator(failpoints=f"aggregator.{failpoint}=kill@1", instance="0",
                                        arguments=HORIZON)
                life.await_killed()
                stream.send(share)
            owners = [scene.aggregator(instance=str(i), arguments=HORIZON)
                      for i in range(expected["instances"])]
            if len(owners) > 1:
                stream.send(len(stream.records) // 2)
                scene.await_owners(len(owners), expected["partitions"])
            stream.send()
            scene.await_all_received()
            for owner in owners:
                owner.await_ready()
            books = books_in(scene, expected["spans"])
            found = differences(expected, books)
            self.assertEqual(found, "", f"{case}, {variant}: other books than expected\n{found}\n"
                             f"again: ./dev test -R integration.golden.streams; on the simulated "
                             f"log: tally-golden tests/golden/cases/{case}.txt --variant {variant}")
            if variant == "scattered":
                self.assertNotEqual(scene.value("SELECT sum(handed_off) FROM tally.ledger"), "0")
            done = scene.admin("verify", check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return books

    def test_straight(self):
        self.run_case("plain", "straight")

    def test_duplicated(self):
        self.run_case("several_meters", "duplicated_1")

    def test_shuffled(self):
        self.run_case("conflict", "shuffled_1")

    def test_killed_at_each_commit_point(self):
        self.run_case("decimals", "split_1x1", COMMIT_POINTS)

    def test_one_instance_on_one_partition(self):
        self.run_case("unicode", "split_1x1")

    def test_two_instances_on_four_partitions(self):
        self.run_case("gauges", "split_2x4")

    def test_three_instances_on_seven_partitions(self):
        self.run_case("transactions", "split_3x7")

    def test_scattered(self):
        self.run_case("binary", "scattered")

    def test_extremes_over_a_kill(self):
        self.run_case("extremes", "split_1x1", ["in_commit"])

    def test_unique_counts_over_kills(self):
        self.run_case("uniques", "duplicated_1", COMMIT_POINTS)

    def test_days_of_other_lengths(self):
        within = [case for case in ("autumn", "spring") if in_reach(case)]
        self.assertTrue(within, "clocks change twice a year")
        for case, variant in zip(within, ("shuffled_1", "split_2x4")):
            with self.subTest(case=case):
                self.run_case(case, variant)

    def test_edges_of_billing_periods(self):
        self.run_case("periods", "scattered")

    def test_a_full_dimension_guard_over_kills(self):
        """And a difference in any line of the books is noticed."""
        books = self.run_case("stack/dimensions", "split_1x1", COMMIT_POINTS)
        with open(f"{CASES}/stack/dimensions.txt", encoding="utf-8") as file:
            text = file.read()
        wrongs = list(altered(text))
        self.assertGreater(len(wrongs), 20)
        for what, wrong in wrongs:
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
                file.write(wrong)
                file.flush()
                try:
                    expected = golden("stack/dimensions", "split_1x1", file.name)
                except AssertionError:
                    continue  # the case contradicts itself
                self.assertNotEqual(differences(expected, books), "", what)


if __name__ == "__main__":
    unittest.main(verbosity=2)
