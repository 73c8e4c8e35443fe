"""Outages of a broker and a database of the test's own: killed under load, restored from a copy of
yesterday, without room on its disk. The log is read again from what is stored, and the totals are exact."""

import base64
import os
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import Scene, use_stack, wait_until  # noqa: E402


END_SESSIONS = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'tally-aggregator'")


class Outage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start(postgres_megabytes=400))

    def test_the_broker_is_killed_under_load(self):
        book = Book(seed=51)
        with Scene(CATALOGUE) as scene, ThreadPoolExecutor() as pool:
            aggregators = [scene.aggregator(), scene.aggregator()]
            scene.await_owners(2)
            scene.publish(book.stream(1000))
            load = pool.submit(scene.publish, book.stream(20_000))
            wait_until(lambda: sum(scene.committed().values()) > 3000, "the load is being counted")
            self.stack.kill_kafka()
            for aggregator in aggregators:
                aggregator.await_not_ready("kafka")
            self.stack.start_kafka()
            load.result()
            scene.await_all_committed()
            book.expect(scene)
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            book.expect(scene)
            for aggregator in aggregators:
                aggregator.await_ready()
                aggregator.stop()

    def test_the_database_is_restored_from_an_older_copy(self):
        book = Book(seed=52)
        data = f"{self.stack.postgres_home()}/data"
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            first = book.stream(3000)
            scene.publish(first)
            scene.await_all_committed()
            self.stack.stop_postgres()
            subprocess.run(["cp", "-a", data, f"{data}.copy"], check=True)
            self.stack.start_postgres()
            scene.publish(book.stream(3000))
            scene.await_all_committed()
            book.expect(scene)
            yesterday = sum(scene.committed().values())
            self.stack.stop_postgres()
            aggregator.await_not_ready("Postgres")
            subprocess.run(["rm", "-rf", data], check=True)
            os.rename(f"{data}.copy", data)
            self.stack.start_postgres()
            # The owner knows more than the database now: it must forget that, and count again.
            scene.publish(book.again(first[:300]) + book.stream(500))
            scene.await_all_committed()
            self.assertGreater(sum(scene.committed().values()), yesterday)
            book.expect(scene)
            aggregator.await_ready()
            aggregator.stop()

    def test_the_databases_disk_is_full(self):
        book = Book(seed=53)
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            self.stack.fill_disk()
            # New connections, now and at the end: a limit on the size of files is inherited from the server.
            scene.query(END_SESSIONS)
            dirt = [base64.b64encode(os.urandom(600_000)) for _ in range(60)]
            scene.publish([("dirt", text) for text in dirt], **{"message.max.bytes": 1_100_000})
            book.reject(len(dirt))
            scene.publish(book.stream(1000))
            wait_until(lambda: self.stack.postgres_said("No space left on device", "File too large"),
                       "the disk is full")
            aggregator.await_not_ready()
            self.stack.free_disk()
            wait_until(lambda: self.answers(scene), "the database answers", 60)
            scene.query(END_SESSIONS)
            scene.await_all_committed()
            book.expect(scene)
            aggregator.await_ready()
            aggregator.stop()

    @staticmethod
    def answers(scene):
        try:
            return scene.value("SELECT 'yes'")
        except RuntimeError:  # it still recovers
            return None


if __name__ == "__main__":
    unittest.main(verbosity=2)
