"""The log begins beyond the stored offset: what is gone is in the ledger as lost, loudly, and reading
goes on."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene  # noqa: E402


class LostLog(unittest.TestCase):
    def test_deleted_while_the_aggregator_is_away(self):
        book = Book(seed=61)
        with Scene(CATALOGUE) as scene:
            first = scene.aggregator(instance="one")
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            first.stop()
            stored = scene.committed()
            scene.publish(Book(seed=62).stream(800))  # nobody will ever count these
            start = scene.ends()
            scene.delete_below(start)
            scene.publish(book.stream(1000))
            second = scene.aggregator(instance="one")
            scene.await_all_committed()
            second.await_ready()
            book.classes["lost"] = 800
            book.expect(scene)
            ranges = {int(partition): (int(low), int(high)) for partition, low, high in scene.query(
                "SELECT partition, first_offset, last_offset FROM tally.lost_range")}
            self.assertEqual(ranges, {p: (stored[p], start[p] - 1) for p in start})
            told = {int(event["partition"]) for event in second.events("records_lost")}
            self.assertEqual(told, set(start), second.log()[-3000:])
            # Once: the next owner finds nothing missing.
            second.stop()
            third = scene.aggregator(instance="one")
            scene.publish(book.stream(200))
            scene.await_all_committed()
            book.expect(scene)
            third.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
