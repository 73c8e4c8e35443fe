"""More combinations of dimensions than the limit: further ones are counted together, whatever dies or
restarts meanwhile and however many owners take them in, and everything that is to add up does."""

import os
import sys
import unittest
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import event_text  # noqa: E402
from support.gate import Gate, setting  # noqa: E402
from support.scene import Scene, conninfo_with, wait_until  # noqa: E402

LIMIT = 10_000  # core/limits.h
OVERFLOW = '{"*":"overflow"}'
METRIC = "tally_aggregator_dimension_overflow_total "
CATALOGUE = {
    "meters": [
        {"slug": "calls", "event_type": "use", "aggregation": "sum", "value": "/n",
         "group_by": {"key": "/key"}, "window": "hour"},
        {"slug": "users", "event_type": "use", "aggregation": "unique_count", "value": "/key",
         "group_by": {"key": "/key"}, "window": "day"},
        {"slug": "level", "event_type": "gauge", "aggregation": "latest", "value": "/n",
         "group_by": {"key": "/key"}, "window": "hour"},
    ],
    "plans": [],
    "tenants": [],
}
NOW = datetime.now(timezone.utc)
LAST_MONTH = NOW - timedelta(days=32)  # another UTC month, and not late
COUNTED = """
SELECT meter, sum(events) FROM (
  SELECT meter, events FROM tally.usage_window WHERE dimensions = '{0}'
  UNION ALL SELECT meter, events FROM tally.gauge_window WHERE dimensions = '{0}'
  UNION ALL SELECT meter, events FROM tally.unique_set WHERE dimensions = '{0}' AND span = 'window') w
 GROUP BY meter ORDER BY meter"""


class Dimensions(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)
        self.number = 0
        self.sums = {}

    def use(self, key, tenant="acme", moment=NOW, event_type="use"):
        self.number += 1
        if event_type == "use":
            self.sums[tenant] = self.sums.get(tenant, 0) + self.number
        name = f"e{self.number}"
        return name, event_text(name, tenant, event_type, {"key": key, "n": self.number},
                                moment.isoformat())

    def keys(self, first, end, **options):
        return [self.use(f"k{number:05}", **options) for number in range(first, end)]

    def given(self, records):
        self.scene.publish(records)
        self.scene.await_all_committed()

    def combinations(self, table="usage_window", meter="calls", where="true"):
        """How many, and whether one of them is the overflow."""
        row = self.scene.query(
            f"SELECT count(DISTINCT dimensions), bool_or(dimensions = '{OVERFLOW}') "
            f"FROM tally.{table} WHERE tenant = 'acme' AND meter = '{meter}' AND {where}")[0]
        return int(row[0]), row[1] == "t"

    def overflow(self):
        """Events by meter, as finance sees them; the windows say the same."""
        told = self.scene.query("SELECT meter, sum(overflow_events) FROM finance.dimension_overflow "
                                "GROUP BY meter ORDER BY meter")
        self.assertEqual(self.scene.query(COUNTED.format(OVERFLOW)), told)
        return {meter: int(events) for meter, events in told}

    def metric(self, aggregator):
        status, text = aggregator.get("/metrics")
        self.assertEqual(status, 200)
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(METRIC)]
        self.assertEqual(len(values), 1, text)
        return values[0]

    def adds_up(self):
        """Over all combinations, the overflow too: what was published, in windows and in each total."""
        for table, where in (("usage_window", "true"), ("usage_total", "span = 'month'"),
                             ("usage_total", "span = 'day'")):
            sums = self.scene.query(f"SELECT tenant, sum(quantity) FROM tally.{table} "
                                    f"WHERE meter = 'calls' AND {where} GROUP BY tenant")
            self.assertEqual({tenant: int(float(value)) for tenant, value in sums}, self.sums, table)
        done = self.scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_over_deaths_and_restarts(self):
        first = self.scene.aggregator()
        self.given(self.keys(0, LIMIT - 10) + self.keys(0, 5, tenant="bolt"))
        self.assertEqual(self.combinations(), (LIMIT - 10, False))
        self.assertEqual((self.overflow(), self.metric(first)), ({}, 0))
        first.stop()
        # 30 more, of which 10 have room: the commit that refuses them dies before it is one.
        self.scene.publish(self.keys(LIMIT, LIMIT + 30))
        self.scene.aggregator(failpoints="aggregator.in_commit=kill@1").await_killed()
        self.assertEqual(self.combinations(), (LIMIT - 10, False))
        second = self.scene.aggregator()
        self.scene.await_all_committed()
        self.assertEqual(self.combinations(), (LIMIT + 1, True))
        self.assertEqual(self.overflow(), {"calls": 20, "users": 20})
        self.assertEqual(self.metric(second), 40)
        self.adds_up()
        # One that is in stays in, one that was refused stays out.
        self.given(self.keys(0, 50) + self.keys(LIMIT, LIMIT + 30))
        self.assertEqual(self.overflow(), {"calls": 40, "users": 40})
        self.assertEqual(self.metric(second), 80)
        second.stop()
        # The same for one that has to ask the database for everything. Other months, tenants and
        # meters have room of their own.
        third = self.scene.aggregator()
        self.given(self.keys(0, 50) + self.keys(LIMIT, LIMIT + 40) + self.keys(LIMIT, LIMIT + 3, tenant="bolt")
                   + self.keys(LIMIT, LIMIT + 7, moment=LAST_MONTH)
                   + self.keys(LIMIT, LIMIT + 9, event_type="gauge"))
        self.assertEqual(self.overflow(), {"calls": 70, "users": 70})
        self.assertEqual(self.metric(third), 60)
        self.assertEqual(self.combinations(), (LIMIT + 1, True))
        month = f"date_trunc('month', window_start AT TIME ZONE 'UTC') = '{LAST_MONTH:%Y-%m-01}'"
        self.assertEqual(self.combinations(where=month), (7, False))
        self.assertEqual(self.combinations("gauge_window", "level"), (9, False))
        # Unique counts of spans know nothing of the limit.
        self.assertEqual(self.scene.value("SELECT members FROM tally.unique_set WHERE meter = 'users' "
                                          "AND tenant = 'acme' AND span = 'month' ORDER BY span_start DESC"),
                         str(LIMIT - 10 + 40))
        self.adds_up()

    def test_two_owners_fill_it_together(self):
        for instance in ("one", "two"):
            self.scene.aggregator(instance=instance)
        self.scene.await_owners(2)
        for first in range(0, LIMIT + 200, 600):  # commit after commit of both
            self.scene.publish(self.keys(first, first + 600))
        self.scene.await_all_committed()
        self.assertEqual(self.combinations(), (LIMIT + 1, True))
        self.assertEqual(self.overflow(), {"calls": 200, "users": 200})
        self.assertEqual(sum(map(self.metric, self.scene.aggregators)), 400)
        self.adds_up()

    def test_a_gauge_past_the_limit_is_one_thing(self):
        self.scene.aggregator()
        self.given(self.keys(0, LIMIT + 5, event_type="gauge"))
        self.assertEqual(self.overflow(), {"level": 5})
        # Of five things at one moment one reading stands, and it is one of theirs.
        self.assertEqual(self.combinations("gauge_window", "level"), (LIMIT + 1, True))
        self.assertEqual(self.scene.query("SELECT count(*) FROM tally.gauge_total WHERE span = 'month' "
                                          f"AND dimensions = '{OVERFLOW}'"), [["1"]])
        self.adds_up()

    def test_a_commit_in_doubt_is_told_once(self):
        first = self.scene.aggregator()
        self.given(self.keys(0, LIMIT))
        first.stop()
        for action in ("cut_answer", "cut_commit"):
            gate = Gate("127.0.0.1", int(setting(self.scene.database, "port")))
            try:
                through_gate = conninfo_with(dbname=self.scene.name, host="127.0.0.1", port=gate.port,
                                             sslmode="disable", gssencmode="disable")
                aggregator = self.scene.aggregator(database=through_gate)
                aggregator.await_ready()
                before = self.overflow().get("calls", 0)
                with gate.lock:
                    gate.plan.append(action)
                self.scene.publish([self.use(f"{action}{number}") for number in range(8)])
                wait_until(lambda: gate.struck == [action], "a commit is cut")  # noqa: B023
                self.scene.await_all_committed()
                self.assertEqual(self.overflow()["calls"], before + 8)
                wait_until(lambda: self.metric(aggregator) >= 16, "the metric tells")  # noqa: B023
                self.assertEqual(self.metric(aggregator), 16)
                self.assertEqual([event["outcome"] for event in aggregator.events("commit_resolved")],
                                 ["committed" if action == "cut_answer" else "not committed"])
                aggregator.stop()
            finally:
                gate.close()
        self.adds_up()

    def test_what_a_database_back_in_time_has_lost_is_taken_in_again(self):
        """The process remembers what it took in; an older database, restored under it, does not have it."""
        aggregator = self.scene.aggregator()
        self.given(self.keys(0, 20))
        taken_in = "SELECT meter, count(*) FROM tally.dimension_combination GROUP BY meter ORDER BY meter"
        self.assertEqual(self.scene.query(taken_in), [["calls", "20"], ["users", "20"]])
        self.scene.query("DELETE FROM tally.dimension_combination; "
                         "UPDATE tally.dimension_month SET combinations = 0; "
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND application_name = 'tally-aggregator'")
        self.given(self.keys(0, 20))
        self.assertEqual(self.scene.query(taken_in), [["calls", "20"], ["users", "20"]])
        self.assertTrue(aggregator.running())
        self.adds_up()


if __name__ == "__main__":
    unittest.main(verbosity=2)
