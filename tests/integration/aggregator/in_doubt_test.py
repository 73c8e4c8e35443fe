"""COMMIT was sent and its answer never came: resolved under lock, never guessed."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.gate import Gate, setting  # noqa: E402
from support.scene import Scene, conninfo_with, wait_until  # noqa: E402


class InDoubt(unittest.TestCase):
    def drill(self, action, outcome):
        book = Book(seed=len(action))
        with Scene(CATALOGUE) as scene:
            gate = Gate("127.0.0.1", int(setting(scene.database, "port")))
            try:
                through_gate = conninfo_with(dbname=scene.name, host="127.0.0.1", port=gate.port,
                                             sslmode="disable", gssencmode="disable")
                aggregator = scene.aggregator(database=through_gate)
                aggregator.await_ready()
                for _ in range(2):
                    with gate.lock:
                        gate.plan.append(action)
                        struck = len(gate.struck)
                    scene.publish(book.stream(1500))
                    wait_until(lambda: len(gate.struck) > struck, "a commit is cut")
                    scene.await_all_committed()
                resolved = aggregator.events("commit_resolved")
                self.assertIn(outcome, [event["outcome"] for event in resolved])
                scene.publish(book.stream(500))
                scene.await_all_committed()
                aggregator.await_ready()
                book.expect(scene)
                aggregator.stop()
            finally:
                gate.close()

    def test_the_answer_is_lost_after_the_commit(self):
        self.drill("cut_answer", "committed")

    def test_the_connection_breaks_before_the_commit(self):
        self.drill("cut_commit", "not committed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
