"""Partitions move between owners without a lost or doubled event."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene, psql, conninfo_with, wait_until  # noqa: E402


class Ownership(unittest.TestCase):
    def come_and_go(self, seed, names):
        """One, two, three owners and back to one while events flow; the last comes back."""
        book = Book(seed=seed)
        with Scene(CATALOGUE) as scene:
            owners = []
            for name in names:
                owners.append(scene.aggregator(instance=name))
                scene.publish(book.stream(1000))
                scene.await_owners(len(owners))
                scene.publish(book.stream(500))
            owners.pop(1).stop()
            scene.publish(book.stream(500))
            scene.await_owners(2)
            owners.pop(0).kill()
            scene.publish(book.stream(500))
            scene.await_owners(1)
            owners.append(scene.aggregator(instance=names[0]))
            scene.publish(book.stream(500))
            scene.await_owners(2)
            scene.await_all_committed()
            book.expect(scene)
            for owner in owners:
                owner.await_ready()
                owner.stop()

    def test_dynamic_members_come_and_go(self):
        self.come_and_go(41, ["", "", ""])

    def test_static_members_come_and_go(self):
        self.come_and_go(42, ["one", "two", "three"])

    def test_a_static_member_that_restarts_moves_nothing(self):
        book = Book(seed=43)
        with Scene(CATALOGUE) as scene:
            owners = {name: scene.aggregator(instance=name) for name in ("one", "two", "three")}
            scene.await_owners(3)
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            held = "SELECT partition, owner, epoch FROM tally.partition_state ORDER BY 1"
            before = scene.query(held)
            owners["two"].kill()
            scene.publish(book.stream(1000))
            again = scene.aggregator(instance="two")
            scene.await_all_committed()
            again.await_ready()
            after = scene.query(held)
            self.assertEqual([row[:2] for row in after], [row[:2] for row in before])
            moved = {was[1] for was, now in zip(before, after) if was[2] != now[2]}
            self.assertEqual(moved, {row[1] for row in before if row[1].startswith("two,")})
            book.expect(scene)

    def test_an_owner_stopped_within_its_commit_is_fenced(self):
        book = Book(seed=44)
        with Scene(CATALOGUE) as scene:
            # It holds the rows' locks when it stops, and means to commit when it wakes.
            sleeper = scene.aggregator(failpoints="aggregator.in_commit=sleep:2000@3")
            scene.await_owners(1)
            within = ("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                      f"AND datname = '{scene.name}' AND application_name = 'tally-aggregator'")

            def sleeps():
                scene.publish(book.stream(50))
                return scene.value(within) == "1" and "failpoint strikes" in sleeper.log()
            wait_until(sleeps, "the owner sleeps within its commit")
            sleeper.signal(signal.SIGSTOP)
            stopped = time.monotonic()
            try:
                other = scene.aggregator()
                scene.publish(book.stream(1000))
                scene.await_all_committed()
                # 10 s until the group gives its partitions away; its locks go after 5 s.
                self.assertLess(time.monotonic() - stopped, 25)
                totals = scene.value("SELECT sum(events) FROM tally.usage_window")
            finally:
                sleeper.signal(signal.SIGCONT)
            wait_until(lambda: sleeper.events("session_ended"), "the sleeper sees that it is over")
            self.assertEqual(scene.value("SELECT sum(events) FROM tally.usage_window"), totals)
            scene.publish(book.stream(1000))
            scene.await_owners(2)
            scene.await_all_committed()
            sleeper.await_ready()
            other.await_ready()
            book.expect(scene)

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
