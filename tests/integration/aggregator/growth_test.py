"""The topic grows while producers and aggregators run and duplicates arrive across each change:
every total stays exact, and nobody takes turns with an owner who knows less."""

import os
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.partitioner import home  # noqa: E402
from support.scene import Scene, wait_until  # noqa: E402


def generation(scene):
    return int(scene.value("SELECT generation FROM tally.deployment"))


class Growth(unittest.TestCase):
    def test_four_six_twelve(self):
        book = Book(seed=21)
        book.foreign = True
        sent = []

        def publish(scene, count, known):
            """New events and retries of earlier ones, from a producer that knows the topology and
            from one that knows an old one."""
            new = book.stream(count, repeats=0)
            some = book.again(book.random.sample(sent, min(len(sent), count // 2)))
            scene.publish(new[::2] + some[::2])
            scene.publish(new[1::2] + some[1::2], lambda key: home(key, known))
            sent.extend(new)

        with Scene(CATALOGUE) as scene, ThreadPoolExecutor() as pool:
            aggregators = [scene.aggregator(), scene.aggregator()]
            scene.await_owners(2)
            publish(scene, 1000, 4)
            for round_number, (before, after) in enumerate(((4, 6), (6, 12)), start=1):
                growth = pool.submit(scene.grow, after)
                while not growth.done():
                    publish(scene, 200, before)
                growth.result()
                publish(scene, 500, before)
                # Whoever looks at the topology next raises the generation; until then the old homes count.
                wait_until(lambda: generation(scene) == round_number + 1,  # noqa: B023
                           lambda: f"generation {generation(scene)}", 60)
                publish(scene, 500, before)
            scene.await_owners(2, 12)
            publish(scene, 1000, 4)
            scene.await_all_received()
            scene.publish(book.again(sent[::3]))
            scene.await_all_received()
            book.expect(scene)
            grown = [(int(event["partitions_before"]), int(event["partitions"]))
                     for aggregator in aggregators for event in aggregator.events("topic_grown")]
            self.assertEqual(sorted(grown), [(4, 6), (6, 12)])
            self.assertEqual(scene.query("SELECT DISTINCT generation FROM tally.partition_state"), [["3"]])
            self.assertEqual(generation(scene), 3)
            for aggregator in aggregators:
                aggregator.await_ready()
                aggregator.stop()

    def test_an_owner_with_old_metadata_waits(self):
        book = Book(seed=22)
        with Scene(CATALOGUE) as scene:
            aggregators = [scene.aggregator(), scene.aggregator()]
            scene.await_owners(2)
            scene.publish(book.stream(500, repeats=0))
            scene.await_all_committed()
            # As if another instance had seen the growth, and these not yet.
            scene.query("BEGIN; SELECT FROM tally.deployment FOR UPDATE; SELECT tally.raise_generation(6); COMMIT")
            stood = scene.committed()
            more = book.stream(500, repeats=0)
            scene.publish(more)
            for aggregator in aggregators:
                aggregator.await_not_ready("4 partitions", "6 are known already", "newer metadata")
            self.assertEqual(scene.committed(), stood)
            scene.grow(6)
            scene.await_all_received()
            scene.publish(book.again(more))
            scene.await_all_received()
            self.assertEqual(generation(scene), 2)
            self.assertEqual([aggregator.events("topic_grown") for aggregator in aggregators], [[], []])
            book.foreign = int(scene.value("SELECT sum(handed_off) FROM tally.ledger")) > 0
            book.expect(scene)

    # The group takes a static member back without a new assignment, and nobody who decides on
    # assignments has seen that the topic has grown meanwhile.
    def test_a_static_member_that_was_away_finds_the_new_partitions(self):
        book = Book(seed=23)
        with Scene(CATALOGUE) as scene:
            scene.aggregator(instance="one")
            scene.publish(book.stream(500, repeats=0))
            scene.await_all_committed()
            scene.aggregators[0].stop()
            scene.grow(6)
            scene.publish(book.stream(500, repeats=0))
            again = scene.aggregator(instance="one", arguments=["--stall-limit-seconds", "3"])
            again.await_not_ready("2 partitions", "have no owner")
            scene.await_all_received(60)
            again.await_ready()
            book.foreign = int(scene.value("SELECT sum(handed_off) FROM tally.ledger")) > 0
            book.expect(scene)
            again.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
