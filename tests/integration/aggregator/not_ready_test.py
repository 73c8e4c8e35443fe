"""What must not be counted keeps the service not ready, and it says why and what to do."""

import copy
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene, conninfo_with, create_topic, delete_topic, wait_until  # noqa: E402


class NotReady(unittest.TestCase):
    def test_a_topic_with_the_producers_time(self):
        book = Book(seed=11)
        with Scene(CATALOGUE, {"timestamp_type": "CreateTime"}) as scene:
            scene.publish(book.stream(50))
            aggregator = scene.aggregator()
            aggregator.await_not_ready("LogAppendTime")
            self.assertEqual(scene.value("SELECT count(*) FROM tally.ledger"), "0")
            aggregator.stop()

    def test_a_topic_that_was_recreated(self):
        book = Book(seed=12)
        with Scene(CATALOGUE) as scene:
            first = scene.aggregator(instance="one")
            scene.publish(book.stream(200))
            scene.await_all_committed()
            first.stop()
            delete_topic(scene.topic)
            create_topic(scene.topic)
            shorter = scene.aggregator(instance="one")
            shorter.await_not_ready("recreated")
            shorter.stop()
            scene.publish(Book(seed=13).stream(1000))
            longer = scene.aggregator(instance="one")
            longer.await_not_ready("recreated")
            self.assertTrue(longer.running())
            longer.stop()
            book.expect(scene)

    def test_a_missing_migration_and_its_cure(self):
        book = Book(seed=14)
        with Scene(CATALOGUE, migrate=False) as scene:
            aggregator = scene.aggregator()
            aggregator.await_not_ready("tally-admin migrate")
            scene.admin("migrate")
            scene.apply(CATALOGUE)
            scene.publish(book.stream(100))
            scene.await_all_committed()
            aggregator.await_ready()
            book.expect(scene)

    def test_an_upgrade_is_refused_until_the_aggregators_are_gone(self):
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            scene.publish(Book(seed=17).stream(100))
            scene.await_all_committed()
            scene.query("DELETE FROM tally_meta.migration WHERE number = (SELECT max(number) FROM tally_meta.migration)")

            def migrate(*arguments):
                return scene.admin("migrate", *arguments, check=False).stderr
            self.assertIn("connected to this database: tally-aggregator (", migrate())
            self.assertIn("left nothing behind", migrate("--force"))  # its tables are there already
            aggregator.stop()
            wait_until(lambda: "connected to this database" not in migrate(), "the sessions are gone")

    def test_a_missing_topic_and_its_cure(self):
        with Scene(CATALOGUE) as scene:
            delete_topic(scene.topic)
            aggregator = scene.aggregator()
            aggregator.await_not_ready(scene.topic, "does not exist")
            create_topic(scene.topic)
            aggregator.await_ready()

    def test_an_unreachable_database_or_broker(self):
        with Scene(CATALOGUE) as scene:
            no_database = scene.aggregator(database=conninfo_with(port=1))
            no_database.await_not_ready("postgres")
            no_broker = scene.aggregator(brokers="127.0.0.1:1")
            no_broker.await_not_ready("kafka", "127.0.0.1:1")
            no_database.stop()
            no_broker.stop()

    def test_a_bad_flag_is_one_sentence(self):
        with Scene(CATALOGUE) as scene:
            for arguments in (["--commit-interval-ms", "0"], ["--no-such-flag", "1"],
                              ["--horizon-seconds", "many"]):
                aggregator = scene.aggregator(arguments=arguments)
                self.assertNotEqual(aggregator.process.wait(20), 0)
                self.assertIn(arguments[0].strip("-"), aggregator.log())

    def test_a_database_of_another_topic(self):
        book = Book(seed=15)
        with Scene(CATALOGUE) as scene, Scene(CATALOGUE) as other:
            owner = scene.aggregator()
            scene.publish(book.stream(100))
            scene.await_all_committed()
            epochs = scene.value("SELECT sum(epoch) FROM tally.partition_state")
            stranger = other.aggregator(database=scene.database)
            stranger.await_not_ready("database of its own")
            stranger.stop()
            self.assertEqual(scene.value("SELECT sum(epoch) FROM tally.partition_state"), epochs)
            owner.await_ready()

    def test_a_meter_that_this_version_cannot_count(self):
        with Scene(CATALOGUE) as scene:
            # apply refuses it; a newer tally-admin may have stored it all the same.
            scene.query("UPDATE tally.meter SET definition = replace(definition, "
                        "'\"aggregation\":\"sum\"', '\"aggregation\":\"median\"')")
            scene.aggregator().await_not_ready("cannot be read", "aggregation")

    def test_the_catalogue_changes_while_events_flow(self):
        book = Book(seed=16)
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            scene.publish(book.stream(1000))
            changed = copy.deepcopy(CATALOGUE)
            changed["meters"].append({"slug": "mails", "event_type": "mail",
                                      "aggregation": "count", "window": "hour"})
            scene.apply(changed)
            scene.publish(book.stream(1000))
            scene.await_all_committed()
            mail = [book.take(f"m{i}", "acme", "mail", {}, book.base) for i in range(50)]
            scene.publish(mail)
            scene.await_all_committed()
            self.assertEqual(scene.value("SELECT sum(events) FROM tally.usage_window "
                                         "WHERE meter = 'mails'"), "50")
            # The book does not know the new meter: its place there is `unmetered`.
            book.classes["unmetered"] -= 50
            book.classes["counted"] += 50
            place = scene.query("SELECT tenant, meter, window_start, dimensions "
                                "FROM tally.usage_window WHERE meter = 'mails'")[0]
            book.usage[tuple(place)] = [50, 50]
            book.expect(scene)
            aggregator.await_ready()


if __name__ == "__main__":
    unittest.main(verbosity=2)
