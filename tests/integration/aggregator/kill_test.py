"""Killed at each step of a commit and started again: the totals of an undisturbed run."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene  # noqa: E402


class Kill(unittest.TestCase):
    def killed_at(self, failpoint):
        book = Book(seed=sum(map(ord, failpoint)))
        with Scene(CATALOGUE) as scene:
            scene.publish(book.stream(4000))
            first = scene.aggregator(failpoints=f"aggregator.{failpoint}=kill@1", instance="one")
            first.await_killed()
            second = scene.aggregator(failpoints=f"aggregator.{failpoint}=kill@2", instance="one")
            # One commit may take all that waits: further events make the second one.
            while second.running():
                scene.publish(book.stream(300))
            second.await_killed()
            third = scene.aggregator(instance="one")
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            third.await_ready()
            book.expect(scene)
            self.assertGreater(len(third.events("partition_acquired")), 0)
            third.stop()

    def test_after_fold(self):
        self.killed_at("after_fold")

    def test_before_commit(self):
        self.killed_at("before_commit")

    def test_in_commit(self):
        self.killed_at("in_commit")

    def test_after_commit(self):
        self.killed_at("after_commit")

    def test_before_mirror(self):
        self.killed_at("before_mirror")


if __name__ == "__main__":
    unittest.main(verbosity=2)
