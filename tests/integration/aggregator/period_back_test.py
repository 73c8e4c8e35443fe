"""A billing period that is taken back and put back: its totals are those of its windows, whatever was counted
while it was away."""

import copy
import os
import sys
import unittest
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, event_text  # noqa: E402
from support.scene import Scene  # noqa: E402

NOW = datetime.now(timezone.utc)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
START, END = TODAY - timedelta(days=2), TODAY + timedelta(days=20)
OTHER_START, OTHER_END = START + timedelta(days=1), END - timedelta(days=1)


class PeriodBack(unittest.TestCase):
    def setUp(self):
        catalogue = copy.deepcopy(CATALOGUE)
        catalogue["tenants"] = [{"id": "acme", "name": "Acme", "time_zone": "UTC"}]
        self.scene = Scene(catalogue)
        self.addCleanup(self.scene.close)
        self.aggregator = self.scene.aggregator()
        self.number = 0

    def use(self, count, tenant="acme", moment=NOW):
        """Each with a reading of a gauge, so that all kinds of totals are concerned."""
        records = []
        for _ in range(count):
            self.number += 1
            for kind, data in (("call", {"key": "a", "status": "ok"}), ("team", {"seats": self.number})):
                name = f"{kind}{self.number}"
                time = moment + timedelta(microseconds=self.number)
                records.append((name, event_text(name, tenant, kind, data, time.isoformat())))
        self.scene.publish(records)
        self.scene.await_all_committed()

    def insert(self):
        self.scene.query(f"INSERT INTO tally.billing_period VALUES ('acme', '{START}', '{END}')")

    def delete(self):
        self.scene.query("DELETE FROM tally.billing_period")

    def expect(self, calls, seats):
        wanted = [[str(calls), str(seats)]] if calls is not None else []
        self.assertEqual(self.scene.query(
            "SELECT trim_scale(u.quantity), trim_scale(g.reading) FROM finance.usage_by_period u "
            "FULL JOIN finance.gauge_by_period g USING (tenant, period_start, period_end)"), wanted)
        done = self.scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_counted_while_it_was_away(self):
        self.insert()
        self.use(10)
        self.expect(10, 10)
        self.delete()
        self.use(7)
        self.expect(None, None)
        self.insert()
        self.use(5)
        self.expect(22, 22)

    def test_taken_back_before_its_first_use(self):
        self.insert()
        self.use(3, tenant="other")
        self.delete()
        self.use(7)
        self.insert()
        self.use(1, tenant="other")  # the next commit opens it, whoever's it is
        self.expect(7, 10)

    def test_put_back_before_anything_was_counted_without_it(self):
        self.insert()
        self.use(4)
        self.scene.query(f"DELETE FROM tally.billing_period; INSERT INTO tally.billing_period "
                         f"VALUES ('acme', '{START}', '{END}')")
        self.use(2)
        self.expect(6, 6)

    def test_moved_start_and_end(self):
        self.insert()
        self.use(4, moment=START + timedelta(hours=1))
        self.use(6)
        self.expect(10, 10)
        self.scene.query(f"UPDATE tally.billing_period SET period_start = '{OTHER_START}'")
        self.use(1, tenant="other")
        self.expect(6, 10)
        self.scene.query(f"UPDATE tally.billing_period SET period_end = '{OTHER_END}'")
        self.use(2)
        self.expect(8, 13)
        self.scene.query(f"UPDATE tally.billing_period SET period_start = '{START}'")
        self.use(1)
        self.expect(13, 14)


if __name__ == "__main__":
    unittest.main()
