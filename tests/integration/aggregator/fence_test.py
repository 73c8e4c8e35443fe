"""The fence, statement by statement, and the memory across days of the log: what a running aggregator's
kills do not reach, because the offset alone would already stop a stale owner there."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene  # noqa: E402


def fence(scene, epoch=5, generation=2, start=100, version=1, log_time="now()"):
    """Calls the fence in a transaction; returns the SQLSTATE, or '' when it let the commit through."""
    done = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate", scene.database, "-1", "-c",
         f"SELECT tally.fence({version}, '{{3}}', '{{{epoch}}}', '{{{generation}}}', '{{{start}}}', '{{150}}', "
         f"'{{149}}', ARRAY['\\x00'::bytea], ARRAY[{log_time}])"],
        capture_output=True, text=True, timeout=30, check=False)
    return done.stderr.strip().rpartition(" ")[2]


class Fence(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)

    def offset(self):
        return int(self.scene.value("SELECT next_offset FROM tally.partition_state WHERE partition = 3"))

    def test_each_part_of_the_guard_stops_a_commit_by_itself(self):
        self.scene.query("INSERT INTO tally.partition_state (partition, epoch, generation, base_offset, next_offset) "
                         "VALUES (3, 5, 2, 0, 100)")
        version = int(self.scene.value("SELECT version FROM tally.catalogue_version"))
        self.assertEqual(fence(self.scene, version=version, epoch=4), "TY001")
        self.assertEqual(fence(self.scene, version=version, epoch=6), "TY001")
        self.assertEqual(fence(self.scene, version=version, generation=1), "TY001")
        self.assertEqual(fence(self.scene, version=version, start=99), "TY001")
        self.assertEqual(fence(self.scene, version=version + 1), "TY002")
        self.assertEqual(fence(self.scene, version=version, log_time="now() + interval '61 minutes'"), "TY003")
        self.assertEqual(self.offset(), 100)
        self.assertEqual(fence(self.scene, version=version, log_time="now() + interval '59 minutes'"), "")
        self.assertEqual(self.offset(), 150)
        self.assertEqual(fence(self.scene, version=version), "TY001", "the same commit twice")

    def counted_after(self, days):
        """The same events again, with the memory of them moved `days` back: (counted, duplicate)."""
        book = Book(seed=days)
        records = book.stream(500)
        first = self.scene.aggregator(instance="one")
        self.scene.publish(records)
        self.scene.await_all_committed()
        first.stop()
        before = int(self.scene.value("SELECT sum(counted) FROM tally.ledger"))
        self.scene.query(f"SELECT tally.ensure_dedup_day(log_day - {days}) FROM tally.dedup_segment")
        self.scene.query(f"UPDATE tally.dedup_segment SET log_day = log_day - {days}")
        second = self.scene.aggregator(instance="one")
        self.scene.publish(records)
        self.scene.await_all_committed()
        second.stop()
        return before, int(self.scene.value("SELECT sum(counted) FROM tally.ledger")) - before

    def test_identities_of_other_days_within_the_horizon_are_remembered(self):
        self.assertEqual(self.counted_after(34)[1], 0)

    def test_identities_beyond_the_horizon_are_forgotten(self):
        before, again = self.counted_after(40)
        self.assertEqual(again, before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
