"""Postgres fails over to a streaming standby in the middle of a COMMIT, and without the last commits: what
the new primary holds is the truth, everything else is read again, and the totals are exact."""

import glob
import os
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.postgres_pair import PostgresPair  # noqa: E402
from support.scene import BROKERS, Scene, psql, use_stack, wait_until  # noqa: E402

WAITS_FOR_THE_STANDBY = ("SELECT count(*) > 0 FROM pg_stat_activity "
                         "WHERE application_name = 'tally-aggregator' AND wait_event = 'SyncRep'")


class Failover(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = PostgresPair()
        cls.addClassCleanup(cls.pair.stop)
        cls.pair.brokers = BROKERS
        cls.pair.start()
        cls.failed_over = False

    def setUp(self):
        if self.failed_over:
            self.pair.rejoin()
            type(self).failed_over = False
        use_stack(self.pair)

    def stored(self, scene, server):
        """How far the commits reach that this server shows."""
        return int(psql(f"{server} dbname={scene.name}",
                        "SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state")[0][0])

    def fail_over(self, aggregator):
        type(self).failed_over = True
        self.pair.kill_primary()
        aggregator.await_not_ready("Postgres")
        self.pair.promote()

    def killed_while_a_commit_waits(self, way):
        """The primary ends while a COMMIT waits for the standby's word; returns the offsets that
        primary and standby showed then."""
        book = Book(seed=len(way))
        with Scene(CATALOGUE) as scene, ThreadPoolExecutor() as pool:
            self.pair.synchronous()
            aggregator = scene.aggregator()
            first = book.stream(1000)
            scene.publish(first)
            scene.await_all_committed()
            self.pair.valve.shut(way)
            load = pool.submit(scene.publish, book.stream(8000))
            wait_until(lambda: psql(self.pair.primary, WAITS_FOR_THE_STANDBY) == [["t"]],
                       "a COMMIT waits for the standby")
            before = self.stored(scene, self.pair.primary)
            if way == "acks":
                wait_until(lambda: self.stored(scene, self.pair.standby) > before,
                           "the standby has what the primary does not show yet")
            after = self.stored(scene, self.pair.standby)
            self.fail_over(aggregator)
            load.result()
            scene.publish(book.again(first[:300]) + book.stream(500))
            scene.await_all_committed()
            book.expect(scene)
            aggregator.await_ready()
            self.assertTrue(any("COMMIT was under way" in event["reason"]
                                for event in aggregator.events("commit_failed")), aggregator.log()[-3000:])
            aggregator.stop()
            return before, after

    def test_the_standby_has_the_commit_whose_answer_never_came(self):
        before, after = self.killed_while_a_commit_waits("acks")
        self.assertGreater(after, before)

    def test_the_standby_lacks_the_commit_that_was_under_way(self):
        before, after = self.killed_while_a_commit_waits("wal")
        self.assertEqual(after, before)

    def test_an_asynchronous_standby_lacks_the_last_commits(self):
        book = Book(seed=83)
        with Scene(CATALOGUE) as scene, tempfile.TemporaryDirectory(prefix="tally-runs-") as runs:
            options = {"instance": "one", "arguments": ["--cache-folder", runs]}
            first = scene.aggregator(**options)
            records = book.stream(1500)
            scene.publish(records)
            scene.await_all_committed()
            first.stop()
            known = self.stored(scene, self.pair.primary)
            wait_until(lambda: self.stored(scene, self.pair.standby) == known, "the standby has it all")
            self.pair.valve.shut("wal")
            # What only the old primary knows: in a run on the local disk, and in an owner's memory.
            second = scene.aggregator(**options)
            scene.publish(book.stream(1500))
            scene.await_all_committed()
            second.stop()
            self.assertTrue(glob.glob(f"{runs}/**/*.run", recursive=True))
            third = scene.aggregator(**options)
            scene.publish(book.again(records[:300]) + book.stream(1500))
            scene.await_all_committed()
            self.assertEqual(self.stored(scene, self.pair.standby), known)
            self.fail_over(third)
            # Nothing is published: the idle owner notices by itself.
            scene.await_all_committed()
            book.expect(scene)
            scene.publish(book.again(records[300:600]) + book.stream(500))
            scene.await_all_committed()
            book.expect(scene)
            third.await_ready()
            third.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
