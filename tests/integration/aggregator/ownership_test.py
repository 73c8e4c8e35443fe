"""Partitions move between owners without a lost or doubled event."""

import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene, psql, conninfo_with, wait_until  # noqa: E402


class Ownership(unittest.TestCase):
    def test_two_aggregators_share_and_hand_over(self):
        book = Book(seed=3)
        with Scene(CATALOGUE) as scene:
            first = scene.aggregator()
            scene.await_owners(1)
            scene.publish(book.stream(2000))
            second = scene.aggregator()
            scene.publish(book.stream(1000))
            scene.await_owners(2)
            scene.publish(book.stream(2000))
            scene.await_all_committed()
            first.stop()
            scene.await_owners(1)
            scene.publish(book.stream(2000))
            third = scene.aggregator()
            scene.await_owners(2)
            scene.publish(book.stream(2000))
            second.kill()
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            third.await_ready()
            book.expect(scene)
            third.stop()

    def test_an_owner_that_slept_is_fenced(self):
        book = Book(seed=4)
        with Scene(CATALOGUE) as scene:
            sleeper = scene.aggregator()
            scene.await_owners(1)
            scene.publish(book.stream(2000))
            sleeper.signal(signal.SIGSTOP)
            scene.publish(book.stream(2000))
            epochs = scene.value("SELECT sum(epoch) FROM tally.partition_state")
            other = scene.aggregator()
            wait_until(lambda: scene.value(
                f"SELECT sum(epoch) >= {epochs} + 4 FROM tally.partition_state") == "t",
                "the other takes over")
            scene.publish(book.stream(1000))
            sleeper.signal(signal.SIGCONT)
            scene.publish(book.stream(2000))
            scene.await_all_committed()
            sleeper.await_ready()
            other.await_ready()
            book.expect(scene)

    def test_a_restart_remembers(self):
        book = Book(seed=5)
        with Scene(CATALOGUE) as scene:
            first = scene.aggregator(instance="one")
            records = book.stream(3000)
            scene.publish(records)
            scene.await_all_committed()
            book.expect(scene)
            first.stop()
            again = [record for record in records if '"email"' not in record[1]
                     and '"error"' not in record[1]]
            scene.publish(again)
            second = scene.aggregator(instance="one")
            scene.await_all_committed()
            counted = book.classes["counted"]
            classes = scene.query("SELECT sum(counted), sum(duplicate) + sum(conflict) "
                                  "FROM tally.ledger")[0]
            self.assertEqual(int(classes[0]), counted)
            self.assertEqual(int(classes[1]), len(again) + book.classes["duplicate"] +
                             book.classes["conflict"])
            self.assertEqual(scene.admin("verify").returncode, 0)
            second.stop()

    def test_sessions_of_the_database_are_terminated(self):
        book = Book(seed=6)
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            aggregator.await_ready()
            for _ in range(8):
                scene.publish(book.stream(400))
                psql(conninfo_with(dbname="postgres"),
                     "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                     f"datname = '{scene.name}' AND application_name = 'tally-aggregator'")
            scene.publish(book.stream(400))
            scene.await_all_committed()
            aggregator.await_ready()
            book.expect(scene)
            aggregator.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
