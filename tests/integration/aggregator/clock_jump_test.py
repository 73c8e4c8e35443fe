"""The clock of a real broker jumps while it runs, and comes back. What it stamps too far ahead is not
counted until an admin says as of when, and empties no memory; what it stamps too early is rejected, and
counted by a replay."""

import os
import sys
import unittest
from datetime import timedelta

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import Scene, use_stack, wait_until  # noqa: E402

REFUSED = "more than 1 h ahead of this database"
MEMORY = "SELECT log_day, sum(entry_count) FROM tally.dedup_segment GROUP BY log_day ORDER BY log_day"
SHORT_MEMORY = ["--horizon-seconds", "86400"]


class ClockJump(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_with_movable_clock())
        # Before the first jump: after one, this broker's controller may wait for what it had planned.
        cls.scenes = [Scene(CATALOGUE) for _ in range(4)]
        for scene in cls.scenes:
            cls.addClassCleanup(scene.close)

    def begin(self, **options):
        self.addCleanup(self.stack.move_clock, timedelta())
        self.scene = self.scenes.pop()
        self.book = Book(seed=91 + len(self.scenes))
        self.first = self.book.stream(500)
        self.scene.publish(self.first)
        aggregator = self.scene.aggregator(instance="one", **options)
        self.scene.await_all_committed()
        return aggregator

    def publish_off_by(self, offset, records):
        self.stack.move_clock(offset)
        self.scene.publish(records)
        self.stack.move_clock(timedelta())

    def test_ahead_until_the_database_is_there(self):
        aggregator = self.begin()
        # The fence lets in what is at most 1 h ahead: here that takes a few seconds.
        self.publish_off_by(timedelta(hours=1, seconds=6), self.book.stream(300))
        self.scene.publish(self.book.again(self.first[:200]) + self.book.stream(200))
        aggregator.await_not_ready(REFUSED)
        self.scene.await_all_committed()
        self.book.expect(self.scene)
        aggregator.await_ready()
        ahead = "SELECT max(last_log_time) > now() + interval '50 minutes' FROM tally.partition_state"
        self.assertEqual(self.scene.value(ahead), "t")
        aggregator.stop()

    def test_days_ahead_nothing_is_counted_and_nothing_forgotten(self):
        first = self.begin(arguments=SHORT_MEMORY)
        memory, committed = self.scene.query(MEMORY), self.scene.committed()
        # Everything remembered would be too old by then.
        self.publish_off_by(timedelta(days=5), self.book.stream(300))
        self.scene.publish(self.book.again(self.first[:200]))
        first.await_not_ready(REFUSED)
        wait_until(lambda: len(first.events("commit_failed")) > 2, "it is tried again")
        first.kill()
        second = self.scene.aggregator(instance="one", arguments=SHORT_MEMORY)
        second.await_not_ready(REFUSED)
        self.assertEqual(self.scene.query(MEMORY), memory)
        self.assertEqual(self.scene.committed(), committed)

    def let_all_count(self, *arguments):
        for partition, end in self.scene.ends().items():
            said = self.scene.admin("log-time-set", "--partition", str(partition), "--before-offset", str(end),
                                    *arguments).stdout
            self.assertIn("Changed." if "--apply" in arguments else "Dry run", said)

    def test_days_ahead_is_counted_as_of_now_when_an_admin_says_so(self):
        first = self.begin(arguments=SHORT_MEMORY)
        ahead = self.book.stream(300)
        self.publish_off_by(timedelta(days=5), ahead)
        self.scene.publish(self.book.again(self.first[:200]) + self.book.stream(200))
        first.await_not_ready(REFUSED, "tally-admin log-time set --partition")
        committed = self.scene.committed()
        typo = self.scene.admin("log-time-set", "--partition", "0", "--before-offset", "9223372036854775807", check=False)
        self.assertIn("the limit is 1000000000", typo.stderr)
        self.let_all_count()
        self.assertEqual(self.scene.committed(), committed)
        # The one that was refused again and again takes it up by itself.
        self.let_all_count("--apply")
        self.scene.await_all_committed()
        self.book.expect(self.scene)
        first.await_ready()
        in_time = "SELECT max(last_log_time) <= now() FROM tally.partition_state"
        self.assertEqual(self.scene.value(in_time), "t")

        # Once more: what comes last in the log is ahead, and found again by who comes next.
        again = self.book.stream(100)
        self.publish_off_by(timedelta(days=3), again)
        first.await_not_ready(REFUSED)
        self.let_all_count("--apply")
        self.scene.await_all_committed()
        first.kill()
        second = self.scene.aggregator(instance="one", arguments=SHORT_MEMORY)
        self.scene.publish(self.book.again(ahead + again + self.first) + self.book.stream(100))
        self.scene.await_all_committed()
        self.book.expect(self.scene)
        second.await_ready()
        self.assertEqual(self.scene.value(in_time), "t")
        self.assertEqual(len(self.scene.admin("log-time-list", "--json").stdout.splitlines()), 8)
        second.stop()

    def test_behind_what_is_rejected_is_counted_by_a_replay(self):
        aggregator = self.begin()
        counted = self.book.classes["counted"]
        behind = self.book.stream(200)
        self.publish_off_by(timedelta(days=-3), behind)
        self.scene.await_all_committed()
        rejects = "SELECT count(*) FROM tally.reject WHERE reason = 'time_in_future'"
        self.assertEqual(self.scene.value(rejects), str(len(behind)))
        aggregator.await_ready()
        self.scene.admin("rejects-replay", "--reason", "time_in_future", "--apply")
        self.scene.await_all_received()
        # From now on they are remembered like any other.
        counted_late = self.book.classes["counted"] - counted
        self.scene.publish(self.book.again(behind))
        self.scene.await_all_committed()
        self.book.expect_totals(self.scene)
        self.assertEqual(self.scene.query("SELECT sum(readmitted), sum(rejected) FROM tally.ledger"),
                         [[str(counted_late), str(len(behind))]])
        self.assertEqual(self.scene.admin("verify", check=False).returncode, 0)
        aggregator.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
