"""Producers whose partitioner is not murmur2: it costs a detour through the database, never a count."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import BROKERS, Scene  # noqa: E402


def kcat(scene, records):
    """kcat's default partitioner is another hash of the key."""
    subprocess.run(["kcat", "-q", "-b", BROKERS, "-t", scene.topic, "-P", "-K", "\t"],
                   input="".join(f"{key}\t{value}\n" for key, value in records), text=True, check=True,
                   timeout=60)


class WrongPartitioner(unittest.TestCase):
    def setUp(self):
        self.book = Book(seed=31)
        self.book.foreign = True
        self.records = self.book.stream(4000, repeats=0)

    def handed_off(self, scene):
        return int(scene.value("SELECT coalesce(sum(handed_off), 0) FROM tally.ledger"))

    def test_kcat_first_and_murmur2_again(self):
        with Scene(CATALOGUE) as scene:
            aggregators = [scene.aggregator(), scene.aggregator()]
            kcat(scene, self.records)
            scene.await_all_received()
            self.book.expect(scene)
            before = self.handed_off(scene)
            # Of four partitions three are wrong.
            self.assertGreater(before, 2500)
            self.assertLess(before, 3500)
            scene.publish(self.book.again(self.records))
            scene.await_all_received()
            self.assertEqual(self.handed_off(scene), before)
            kcat(scene, self.book.again(self.records[::2]))
            scene.await_all_received()
            self.book.expect(scene)
            for aggregator in aggregators:
                aggregator.await_ready()
                aggregator.stop()

    def test_killed_while_records_are_on_their_way(self):
        with Scene(CATALOGUE) as scene:
            kcat(scene, self.records)
            for failpoint in ("after_fence", "in_commit", "after_commit", "after_commit"):
                killed = scene.aggregator(failpoints=f"aggregator.{failpoint}=kill@2", instance="one")
                while killed.running():
                    kcat(scene, self.book.again(self.book.random.sample(self.records, 50)))
                killed.await_killed()
            last = scene.aggregator(instance="one")
            scene.await_all_received()
            self.book.expect(scene)
            last.await_ready()
            last.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
