"""How long identities are remembered is said once, in the database: nobody who was started with another
value counts or forgets anything, and after a change nothing is counted twice."""

import os
import sys
import unittest
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, event_text  # noqa: E402
from support.scene import Scene, wait_until  # noqa: E402

DAY = 86400
NOW = datetime.now(timezone.utc)


def call(event_id, days=0):
    """An event of so many days ago."""
    time = (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return event_id, event_text(event_id, "acme", "call", {"key": "a", "status": "ok"}, time)


class Horizon(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)

    def start(self, days):
        return self.scene.aggregator(arguments=["--horizon-seconds", str(days * DAY)])

    def given(self, records):
        self.scene.publish(records)
        self.scene.await_all_committed()

    def set_horizon(self, days, *arguments, check=True):
        return self.scene.admin("horizon-set", "--horizon-seconds", str(days * DAY), *arguments, check=check)

    def ledger(self, *names):
        row = self.scene.query("SELECT " + ", ".join(
            f"coalesce(sum({name}), 0)" for name in names) + " FROM tally.ledger")[0]
        return [int(value) for value in row]

    def reasons(self):
        return self.scene.query("SELECT record_key, reason FROM tally.reject ORDER BY 1, 2")

    def read_everywhere(self):
        """Nothing is forgotten for a partition that nobody has read, 14 days long."""
        self.given([(f"noise{i}", event_text(f"noise{i}", "acme", "noise", {})) for i in range(40)])

    def forget_like_after(self, days):
        """What is remembered was first seen so many days ago."""
        self.scene.query(f"SELECT tally.ensure_dedup_day(d - {days}) FROM (SELECT DISTINCT log_day AS d "
                         f"FROM tally.dedup_segment) s; UPDATE tally.dedup_segment SET log_day = log_day - {days}")

    def test_one_with_another_horizon_counts_nothing_and_drops_nothing(self):
        self.assertIn("no aggregator has used this database", self.set_horizon(7, check=False).stderr)
        self.start(35)
        self.given([call("old", 20)])
        self.scene.aggregators[-1].stop()
        self.forget_like_after(20)
        other = self.start(1)
        other.await_not_ready("--horizon-seconds 3024000", "--horizon-seconds 86400", "horizon set")
        self.scene.publish([call("new"), call("old", 20)])
        other.stop()
        self.assertEqual(self.ledger("counted"), [1])
        self.assertEqual(self.scene.value("SELECT count(*) FROM tally.dedup_segment"), "1")
        # Nor does the statement itself drop by anything but the row.
        self.assertEqual(self.scene.value("SELECT tally.drop_dedup_days()"), "0")
        last = self.start(35)
        self.scene.await_all_committed()
        last.await_ready()
        self.assertEqual(self.ledger("counted", "duplicate"), [2, 1])

    def test_lowered_and_raised_with_aggregators_running(self):
        first = self.start(35)
        self.read_everywhere()
        self.given([call("old", 20)])
        self.assertEqual(self.ledger("counted"), [1])
        dry = self.set_horizon(7).stdout
        self.assertIn("Dry run", dry)
        self.assertIn("9 days", dry)
        self.assertIn("forgotten for good", dry)
        self.given([call("before")])
        self.assertIn("Changed.", self.set_horizon(7, "--apply").stdout)
        # Its plans are void: it starts anew, and says what is wrong.
        self.scene.publish([call("under-7")])
        first.await_not_ready("--horizon-seconds 604800", "horizon set")
        first.stop()
        self.assertEqual(self.ledger("counted"), [2])
        self.forget_like_after(20)
        second = self.start(7)
        self.scene.await_all_committed()
        wait_until(lambda: self.scene.value("SELECT count(dropped_before) FROM tally.deployment") == "1",
                   "the first commit drops what a horizon of 7 days needs no more")
        self.given([call("old", 20), call("recent", 5)])
        self.assertEqual(self.reasons(), [["\\x6f6c64", "older_than_horizon"]])

        raised = self.set_horizon(35, "--apply").stdout
        self.assertIn("older_than_memory", raised)
        self.scene.publish([call("under-35")])
        second.await_not_ready("--horizon-seconds 3024000")
        second.stop()
        third = self.start(35)
        self.scene.await_all_committed()
        third.await_ready()
        # It was counted 20 days ago and is forgotten: not late by the horizon, and not counted again.
        self.given([call("old", 20), call("five", 5), call("recent", 5), call("unseen", 15)])
        self.assertEqual(self.reasons(), [["\\x6f6c64", "older_than_horizon"], ["\\x6f6c64", "older_than_memory"],
                                          ["\\x756e7365656e", "older_than_memory"]])
        self.assertEqual(self.ledger("counted", "late", "duplicate"), [6, 3, 1])
        # An admin decides: what nobody could judge is replayed when asked for, and only then.
        self.assertIn("refused", self.scene.admin("rejects-replay", "--reason", "older_than_memory", "--apply").stdout)
        self.assertEqual(self.ledger("readmitted"), [0])
        self.scene.query("DELETE FROM tally.reject WHERE record_key = 'old'")
        self.scene.admin("rejects-replay", "--reason", "older_than_memory", "--unchecked", "--apply")
        wait_until(lambda: self.ledger("readmitted") == [1], "the one is counted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
