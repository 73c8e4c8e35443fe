"""Billing periods that move while usage arrives: the end is put off, drawn in, a period is added, taken
back or begins elsewhere. Each period's totals are always those of the windows that start in it."""

import os
import random
import sys
import threading
import unittest
from datetime import datetime, timedelta, timezone
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import event_text  # noqa: E402
from support.scene import Scene, wait_until  # noqa: E402

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOON = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) - 2 * DAY
START, END = NOON - 20 * DAY, NOON - 10 * DAY
AGGREGATIONS = ("sum", "max", "latest", "unique_count")
CATALOGUE = {
    "meters": [{"slug": aggregation, "event_type": "use", "aggregation": aggregation, "value": "/n",
                "window": "hour"} for aggregation in AGGREGATIONS],
    "plans": [],
    "tenants": [{"id": "acme", "name": "acme", "time_zone": "Asia/Kathmandu"}],
}
STORED = """
SELECT extract(epoch FROM span_start)::bigint, extract(epoch FROM span_end)::bigint, meter, value, events FROM (
  SELECT tenant, span, span_start, span_end, meter, quantity::text AS value, events FROM tally.usage_total
  UNION ALL SELECT tenant, span, span_start, span_end, meter, reading::text, events FROM tally.gauge_total
  UNION ALL SELECT tenant, span, span_start, span_end, meter, members::text, events FROM tally.unique_set) t
 WHERE span = 'period' AND tenant = 'acme'"""
# Every period is opened as it stands, and none is that does not stand.
OPENED = """
SELECT count(*) FROM tally.billing_period b FULL JOIN tally.period_opened o USING (tenant, period_start)
 WHERE b.period_end IS DISTINCT FROM o.period_end"""


def literal(moment):
    return f"'{moment.isoformat()}'"


class Periods(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)
        self.random = random.Random(7)
        self.events = []  # (moment, n)
        self.periods = {}  # start -> end

    def use(self, moment):
        # Moments differ, so that the latest is one; numbers do not, so that unique counts are fewer.
        moment += timedelta(microseconds=len(self.events))
        number = self.random.randrange(40)
        name = f"u{len(self.events)}"
        self.events.append((moment, number))
        return name, event_text(name, "acme", "use", {"n": number}, moment.isoformat())

    def anywhere(self, count):
        """Within windows that no edge of this test cuts: edges stand on whole hours."""
        quarters = int((NOON + DAY - (START - 5 * DAY)) / HOUR) * 4
        return [self.use(START - 5 * DAY + HOUR / 4 * self.random.randrange(quarters)
                         + timedelta(minutes=5)) for _ in range(count)]

    def given(self, records):
        self.scene.publish(records)
        self.scene.await_all_committed()

    def set_period(self, start, end):
        self.periods[start] = end
        self.scene.query(f"INSERT INTO tally.billing_period VALUES ('acme', {literal(start)}, {literal(end)}) "
                         "ON CONFLICT (tenant, period_start) DO UPDATE SET period_end = excluded.period_end")

    def take_back(self, start):
        del self.periods[start]
        self.scene.query(f"DELETE FROM tally.billing_period WHERE period_start = {literal(start)}")

    def begin_elsewhere(self, start, other):
        self.periods[other] = self.periods.pop(start)
        self.scene.query(f"UPDATE tally.billing_period SET period_start = {literal(other)} "
                         f"WHERE period_start = {literal(start)}")

    def opened(self):
        """A change is seen by the next commit, so there has to be one."""
        self.given(self.anywhere(1))
        wait_until(lambda: self.scene.value(OPENED) == "0",
                   lambda: f"periods are opened: {self.scene.query('SELECT * FROM tally.period_opened')}")
        self.scene.await_all_committed()

    def expect(self):
        wanted = {}
        for start, end in self.periods.items():
            inside = sorted(event for event in self.events if start <= event[0] < end)
            numbers = [number for _, number in inside]
            if not inside:
                continue
            for aggregation, value in (("sum", sum(numbers)), ("max", max(numbers)),
                                       ("latest", numbers[-1]), ("unique_count", len(set(numbers)))):
                wanted[int(start.timestamp()), int(end.timestamp()), aggregation] = (Decimal(value), len(inside))
        stored = {(int(row[0]), int(row[1]), row[2]): (Decimal(row[3]), int(row[4]))
                  for row in self.scene.query(STORED)}
        self.assertEqual(stored, wanted)
        done = self.scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_moved_in_every_way(self):
        self.scene.aggregator()
        self.set_period(START, END)
        self.given(self.anywhere(400))
        self.opened()
        self.expect()
        for what, change in (
                ("the end is put off", lambda: self.set_period(START, END + 3 * DAY)),
                ("the next period begins there", lambda: self.set_period(END + 3 * DAY, NOON)),
                ("it begins later", lambda: self.begin_elsewhere(END + 3 * DAY, END + 4 * DAY)),
                ("the end is drawn in", lambda: self.set_period(START, END - 2 * DAY - HOUR)),
                ("a period came between", lambda: self.set_period(END, END + DAY)),
                ("it is taken back", lambda: self.take_back(END)),
                ("none is left", lambda: [self.take_back(start) for start in list(self.periods)])):
            with self.subTest(what):
                change()
                self.opened()
                self.expect()
                # Later usage knows the new edges, also after a restart.
                self.given(self.anywhere(60))
                self.expect()
        self.scene.aggregators[-1].stop()
        self.scene.aggregator()
        self.set_period(START, END)
        self.opened()
        self.expect()

    def test_two_that_overlap_are_refused(self):
        self.set_period(START, END)
        with self.assertRaisesRegex(Exception, "billing_periods_of_a_tenant_never_overlap"):
            self.scene.query(f"INSERT INTO tally.billing_period VALUES ('acme', {literal(END - HOUR)}, {literal(NOON)})")
        # The end of one and the begin of the next move in any order, within one transaction.
        self.set_period(END, END + DAY)
        self.scene.query(f"BEGIN; UPDATE tally.billing_period SET period_end = {literal(END + HOUR)} WHERE "
                         f"period_start = {literal(START)}; UPDATE tally.billing_period SET period_start = "
                         f"{literal(END + HOUR)} WHERE period_start = {literal(END)}; COMMIT")
        self.scene.query(f"INSERT INTO tally.billing_period VALUES ('other', {literal(START)}, {literal(NOON)})")

    def test_while_usage_arrives_at_two_owners(self):
        for instance in ("one", "two"):
            self.scene.aggregator(instance=instance)
        self.scene.await_owners(2)
        self.set_period(START, END)
        failures = []

        def publish():
            try:
                for _ in range(40):
                    self.scene.publish(self.anywhere(50))
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)
        publisher = threading.Thread(target=publish)
        publisher.start()
        moves = 0
        while publisher.is_alive():
            moves += 1
            end = END + self.random.choice((-3, -1, 2, 4)) * DAY + moves % 7 * HOUR
            self.set_period(START, end)
            if moves % 3 == 0:
                self.set_period(END + 5 * DAY, NOON - moves % 5 * HOUR)
            seen = self.scene.value("SELECT max(updated_at) FROM tally.partition_state")
            wait_until(lambda: not publisher.is_alive() or self.scene.value(  # noqa: B023
                f"SELECT max(updated_at) > '{seen}' FROM tally.partition_state") == "t", "a commit")  # noqa: B023
        publisher.join()
        self.assertEqual(failures, [])
        self.assertGreater(moves, 5)
        self.opened()
        self.expect()
        sessions = sum(len(aggregator.events("session_ended")) for aggregator in self.scene.aggregators)
        self.assertGreater(sessions, 5)

    def test_an_edge_within_a_stored_window(self):
        self.scene.aggregator()
        # A tenant whose days begin at whole hours, so that a window is an hour.
        self.scene.query("UPDATE tally.tenant SET time_zone = 'UTC'")
        self.set_period(START, END)
        self.given([self.use(END - HOUR + timedelta(minutes=10))])
        self.opened()
        edge = END - HOUR + timedelta(minutes=30)
        self.set_period(START, edge)
        self.set_period(edge, NOON)
        self.opened()
        # The hour is stored, and stays: what comes for its first half merges into it. What comes for
        # the second half has a window of its own, in the next period.
        self.given([self.use(END - HOUR + timedelta(minutes=minute)) for minute in (20, 40)])
        windows = self.scene.query(
            "SELECT to_char(window_start AT TIME ZONE 'UTC', 'HH24:MI'), to_char(window_end AT TIME ZONE 'UTC', "
            "'HH24:MI'), events FROM tally.usage_window WHERE meter = 'sum' "
            f"AND window_start >= {literal(END - HOUR)} AND window_start < {literal(END)} ORDER BY 1")
        self.assertEqual(windows, [["11:00", "12:00", "2"], ["11:30", "12:00", "1"]])
        # Here each event lies in the period of its window's start, so the books are the oracle's.
        self.expect()
        # Drawn in further, to before what the stored hour holds: that stays with the hour's start.
        self.set_period(START, END - HOUR + timedelta(minutes=5))
        self.scene.query(f"DELETE FROM tally.billing_period WHERE period_start = {literal(edge)}")
        self.opened()
        inside = sum(number for moment, number in self.events if START <= moment < edge)
        self.assertEqual(self.scene.value("SELECT quantity FROM finance.usage_by_period WHERE meter = 'sum'"),
                         str(inside))
        done = self.scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
