"""What Postgres itself refuses a commit with, a deadlock or a serialization failure, is tried again by
the same session, and counted once."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.scene import Scene, wait_until  # noqa: E402

A_COMMIT_WAITS = ("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND "
                  "application_name = 'tally-aggregator' AND wait_event_type = 'Lock' AND query LIKE '%{}%'")

# At COMMIT, where Postgres would find out too; twice.
REFUSE_TWO_COMMITS = """
CREATE SEQUENCE public.refused;
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('public.refused') <= 2 THEN
    RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON tally.ledger
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""


class OtherTransaction:
    """A transaction of somebody else, statement by statement."""

    def __init__(self, conninfo):
        self.psql = subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def send(self, sql):
        self.psql.stdin.write(sql + ";\n\\echo done\n")
        self.psql.stdin.flush()

    def await_done(self):
        """Everything that was sent has been done; one await_done() for each send()."""
        line = self.psql.stdout.readline()
        if line != "done\n":
            raise AssertionError(line + self.psql.stdout.read())

    def run(self, sql):
        self.send(sql)
        self.await_done()

    def close(self):
        self.psql.kill()
        self.psql.communicate()


class Deadlock(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)
        # Later than the other transaction needs to close the circle, sooner than the lock_timeout of 5 s.
        self.scene.query(f"ALTER DATABASE {self.scene.name} SET deadlock_timeout = '3s'")
        self.other = OtherTransaction(self.scene.database)
        self.addCleanup(self.other.close)
        self.book = Book(seed=len(self._testMethodName))

    def publish(self, count):
        self.scene.publish(self.book.stream(count))

    def await_waiting(self, statement):
        wait_until(lambda: self.scene.value(A_COMMIT_WAITS.format(statement)) == "t",
                   f"the aggregator waits in {statement}")

    def same_session(self, aggregator, words, times):
        """The commits were refused with these words, and the session went on."""
        refused = [event["reason"] for event in aggregator.events("commit_failed")]
        self.assertEqual([words in reason for reason in refused], [True] * times, refused)
        self.assertEqual([event["outcome"] for event in aggregator.events("commit_resolved")],
                         ["not committed"] * times)
        self.assertEqual(aggregator.events("session_ended"), [])

    def finish(self, aggregator):
        self.publish(200)
        self.scene.await_all_committed()
        self.book.expect(self.scene)
        aggregator.await_ready()
        aggregator.stop()

    def test_a_commit_that_loses_a_deadlock(self):
        aggregator = self.scene.aggregator()
        self.publish(400)
        self.scene.await_all_committed()
        # Postgres takes the one that finds the circle: that shall be the aggregator.
        self.other.run("SET deadlock_timeout = '1min'; BEGIN; "
                       "UPDATE tally.usage_window SET quantity = quantity")
        self.publish(400)
        self.await_waiting("usage_window")
        self.other.send("UPDATE tally.partition_state SET updated_at = updated_at")
        wait_until(lambda: aggregator.events("commit_failed"), "Postgres ends the aggregator's transaction")
        self.other.await_done()
        self.other.run("COMMIT")
        self.scene.await_all_committed()
        self.same_session(aggregator, "deadlock detected", 1)
        wait_until(lambda: self.scene.value("SELECT deadlocks FROM pg_stat_database "
                                            "WHERE datname = current_database()") == "1", "Postgres counts it")
        self.finish(aggregator)

    def test_a_commit_waits_for_a_lock_longer_than_others_do_and_not_for_ever(self):
        aggregator = self.scene.aggregator()
        self.publish(400)
        self.scene.await_all_committed()
        self.other.run("BEGIN; UPDATE tally.usage_window SET quantity = quantity")
        self.publish(400)
        self.await_waiting("usage_window")
        # The session's lock_timeout is 5 s, and each wait is a query of its own.
        wait_until(lambda: self.scene.value(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND "
            "application_name = 'tally-aggregator' AND wait_event_type = 'Lock' AND "
            "clock_timestamp() - query_start > interval '8 s'") == "t", "it waits on")
        wait_until(lambda: aggregator.events("commit_failed"), "the wait ends")
        self.other.run("COMMIT")
        self.scene.await_all_committed()
        self.same_session(aggregator, "lock timeout", 1)
        self.finish(aggregator)

    def test_commits_that_cannot_be_serialized(self):
        aggregator = self.scene.aggregator()
        self.publish(400)
        self.scene.await_all_committed()
        self.scene.query(REFUSE_TWO_COMMITS)
        self.publish(400)
        self.scene.await_all_committed()
        self.same_session(aggregator, "could not serialize access", 2)
        self.finish(aggregator)

    def test_an_acquisition_that_cannot_be_serialized(self):
        first = self.scene.aggregator(instance="one")
        self.publish(400)
        self.scene.await_all_committed()
        first.stop()
        self.other.run("BEGIN; UPDATE tally.partition_state SET updated_at = now()")
        self.publish(400)
        second = self.scene.aggregator(instance="one")
        self.await_waiting("epoch = epoch + 1")
        self.other.run("COMMIT")  # what the acquisition's snapshot sees is no longer so
        self.scene.await_all_committed()
        self.finish(second)


if __name__ == "__main__":
    unittest.main(verbosity=2)
