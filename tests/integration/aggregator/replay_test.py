"""What was late or rejected comes back through `tally-admin rejects replay`: counted once, whatever
happens meanwhile, and never past the dedup memory unless told so."""

import copy
import json
import os
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, event_text  # noqa: E402
from support.gate import Gate, setting  # noqa: E402
from support.scene import Scene, conninfo_with, wait_until  # noqa: E402

HORIZON = ["--horizon-seconds", "3600"]
NOW = datetime.now(timezone.utc)
OK = {"key": "a", "status": "ok"}


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def call(event_id, tenant="acme", age=timedelta(), data=None):
    return event_id, event_text(event_id, tenant, "call", data or OK, text(NOW - age))


def late(event_id, tenant="acme"):
    return call(event_id, tenant, timedelta(hours=5))


class Replay(unittest.TestCase):
    def setUp(self):
        self.scene = Scene(CATALOGUE)
        self.addCleanup(self.scene.close)

    def start(self, instance="one", **options):
        return self.scene.aggregator(arguments=HORIZON, instance=instance, **options)

    def given(self, records):
        self.scene.publish(records)
        self.scene.await_all_committed()

    def replay(self, *arguments, database=None, check=True):
        """The report by kind; the totals of the last line."""
        done = self.scene.admin("rejects-replay", "--json", *arguments, check=check,
                                database=database)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        report = {kind: [line for line in lines if line["kind"] == kind]
                  for kind in ("group", "refused", "not_kept", "total")}
        report["exit"], report["error"] = done.returncode, done.stderr
        if report["total"]:
            total = report["total"][0]
            report["sums"] = (total["readmitted"], total["already"], total["refused"])
        return report

    def await_received(self):
        wait_until(lambda: self.scene.value("SELECT count(*) FROM tally.handoff") == "0",
                   "the homes take what was replayed")

    def events(self, meter="calls", where="true"):
        return int(self.scene.value("SELECT coalesce(sum(events), 0) FROM tally.usage_window "
                                    f"WHERE meter = '{meter}' AND {where}"))

    def ledger(self, *names):
        row = self.scene.query("SELECT " + ", ".join(
            f"coalesce(sum({name}), 0)" for name in names) + " FROM tally.ledger")[0]
        return [int(value) for value in row]

    def balanced(self):
        done = self.scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_late_record_is_counted_once_in_its_window(self):
        aggregator = self.start()
        self.given([late(f"l{i}") for i in range(20)] + [late("l3"), call("on-time")])
        self.assertEqual(self.ledger("late", "counted"), [21, 1])
        dry = self.replay()
        self.assertEqual((dry["sums"], dry["total"][0]["applied"]), ((21, 0, 0), False))
        self.assertEqual(dry["group"], [{"kind": "group", "class": "late", "reason": "older_than_horizon",
                                         "tenant": "acme", "readmitted": 21, "already": 0, "refused": 0,
                                         "waiting": 0}])
        self.assertEqual(self.scene.query("SELECT FROM tally.readmission"), [])
        self.assertIn("21 records would be readmitted",
                      self.scene.admin("rejects-replay").stdout)
        self.assertEqual(self.replay("--apply")["sums"], (21, 0, 0))
        self.await_received()
        hour = (NOW - timedelta(hours=5)).strftime("%Y-%m-%d %H:00:00+00")
        self.assertEqual(self.events(where=f"window_start = '{hour}'"), 20)
        self.assertEqual(self.ledger("readmitted", "duplicate", "received"), [20, 1, 21])
        self.balanced()
        # Again: nothing changes. The identities are remembered: the same events on time are retries.
        self.assertEqual(self.replay("--apply")["sums"], (0, 21, 0))
        self.given([call(f"l{i}") for i in range(20)])
        self.assertEqual(self.events(), 21)
        self.assertEqual(self.ledger("readmitted", "duplicate"), [20, 21])
        aggregator.await_ready()
        self.balanced()

    def test_only_what_the_filters_take(self):
        self.start()
        ahead = timedelta(hours=-9)
        self.given([late("a1"), late("a2"), late("b1", "bolt"), call("f1", "bolt", ahead),
                    ("none", b"{"), call("conflict"), call("conflict", data=dict(OK, key="b"))])
        self.assertEqual(self.ledger("late", "rejected", "conflict"), [3, 2, 1])
        minute = timedelta(minutes=1)
        for arguments, expected in (
                ((), (4, 0, 1)), (("--class", "late"), (3, 0, 0)), (("--tenant", "bolt"), (2, 0, 0)),
                (("--reason", "time_in_future"), (1, 0, 0)),
                (("--reason", "other_content"), (0, 0, 0)),
                (("--from", text(NOW - minute)), (4, 0, 1)), (("--to", text(NOW - minute)), (0, 0, 0)),
                (("--class", "late", "--tenant", "bolt", "--apply"), (1, 0, 0))):
            with self.subTest(arguments):
                self.assertEqual(self.replay(*arguments)["sums"], expected)
        nothing = self.replay("--from", text(NOW), "--to", text(NOW - minute), check=False)
        self.assertEqual(nothing["exit"], 1)
        self.assertIn("--from must be before --to", nothing["error"])
        limited = self.replay("--limit", "2")["total"][0]
        self.assertEqual((limited["readmitted"], limited["limit_reached"]), (2, True))
        self.await_received()
        self.assertEqual(self.events(where="tenant = 'bolt'"), 1)
        self.assertEqual(self.replay("--tenant", "bolt")["sums"], (1, 1, 0))
        refused = self.replay("--reason", "malformed_json")["refused"]
        self.assertIn("not a JSON object", refused[0]["why"])
        for arguments, words in ((("--class", "conflict"), "counted with other values"),
                                 (("--class", "meter"), "use late or rejected"),
                                 (("--from", "yesterday"), "--from")):
            report = self.replay(*arguments, check=False)
            self.assertEqual(report["exit"], 1)
            self.assertIn(words, report["error"])
        # What was ahead of the log is counted in its window, for the admin says so.
        self.assertEqual(self.replay("--reason", "time_in_future", "--apply")["sums"], (1, 0, 0))
        self.await_received()
        self.assertEqual(self.events(where="window_start > now()"), 1)
        self.balanced()

    def test_rejected_by_a_catalogue_that_was_mended(self):
        aggregator = self.start()
        chat = [(f"c{i}", event_text(f"c{i}", "acme", "chat", {"model": "x", "count": 5}, text(NOW)))
                for i in range(30)]
        self.given(chat)
        self.assertEqual(self.ledger("rejected"), [30])
        # Too early: it is rejected again, and the partition goes on.
        self.assertEqual(self.replay("--limit", "10", "--apply")["sums"], (10, 0, 0))
        self.await_received()
        self.assertEqual(self.ledger("rejected", "received"), [40, 10])
        self.balanced()
        mended = copy.deepcopy(CATALOGUE)
        mended["meters"].append({"slug": "tokens2", "event_type": "chat", "aggregation": "sum",
                                 "value": "/count", "window": "hour"})
        self.scene.apply(mended)
        self.assertEqual(self.replay("--apply")["sums"], (20, 10, 0))
        self.await_received()
        self.assertEqual(self.ledger("readmitted"), [20])
        # Unchecked, only what no replay counted; nothing else would keep the others apart.
        self.assertEqual(self.replay("--again", "--unchecked")["sums"], (10, 20, 0))
        # Those that came too early are asked for by name; counted ones are then duplicates.
        again = self.replay("--again", "--apply")
        self.assertEqual(again["sums"], (30, 0, 0))
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "duplicate"), [30, 20])
        self.assertEqual(self.scene.value("SELECT sum(quantity) FROM tally.usage_window "
                                          "WHERE meter = 'tokens2'"), "150")
        self.assertEqual(self.replay("--apply")["sums"], (0, 30, 0))
        self.assertEqual(self.replay("--again", "--unchecked", "--apply")["sums"], (0, 30, 0))
        aggregator.await_ready()
        self.balanced()

    def test_a_replayed_record_can_be_a_conflict(self):
        aggregator = self.start()
        other = call("x", age=timedelta(hours=5), data=dict(OK, key="b"))
        self.given([late("x")])
        self.given([call("x", data=dict(OK, key="b")), other])
        self.assertEqual(self.ledger("late", "counted", "duplicate"), [1, 1, 1])
        self.assertEqual(self.replay("--apply")["sums"], (1, 0, 0))
        self.await_received()
        self.assertEqual(self.ledger("conflict", "readmitted"), [1, 0])
        self.assertEqual(self.events(), 1)
        aggregator.await_ready()
        self.balanced()

    def test_nothing_past_the_memory_of_its_home(self):
        """The record came just now, but a first copy of it came when its time says, if one came."""
        self.start()
        self.given([call("old", age=timedelta(days=5)), late("young")])
        self.assertEqual(self.ledger("late"), [2])
        report = self.replay("--apply")
        self.assertEqual(report["sums"], (1, 0, 1))
        came = text(NOW - timedelta(days=6))[:16]
        for words in (f"a copy of it can have been counted since {came}", "make sure that none was", "--unchecked"):
            self.assertIn(words, report["refused"][0]["why"])
        self.await_received()
        self.assertEqual(self.events(), 1)
        self.assertEqual(self.replay("--apply")["sums"], (0, 1, 1))
        self.assertEqual(self.replay("--apply", "--unchecked")["sums"], (1, 1, 0))
        self.await_received()
        self.assertEqual(self.events(), 2)
        self.assertEqual(self.ledger("readmitted"), [2])
        self.balanced()

    def test_a_late_retry_of_a_forgotten_event_is_not_counted_twice(self):
        first = self.start()
        self.given([call("old", age=timedelta(days=5)), late("young")])
        self.assertEqual(self.replay("--apply", "--unchecked")["sums"], (2, 0, 0))
        self.await_received()
        self.assertEqual(self.events(), 2)
        # The day on which the one was counted is forgotten.
        first.stop()
        self.scene.query("DELETE FROM tally.dedup_segment WHERE partition = "
                         "(SELECT partition FROM tally.reject WHERE record_key = 'old')")
        self.start("two")
        self.given([call("old", age=timedelta(days=5))])
        self.assertEqual(self.ledger("late"), [3])
        report = self.replay("--apply")
        self.assertEqual(report["sums"], (0, 2, 1))
        self.assertIn("a copy of it can have been counted", report["refused"][0]["why"])
        self.given([call("now")])
        self.await_received()
        self.assertEqual(self.events(), 3)
        self.balanced()

    def test_offsets_without_bytes_are_told(self):
        self.start()
        self.given([call("one")])
        self.scene.query("INSERT INTO tally.reject_overflow SELECT topic, 2, 10, 40, 31 FROM tally.deployment")
        self.assertEqual([(range_["partition"], range_["first_offset"], range_["last_offset"], range_["rows"])
                          for range_ in self.replay()["not_kept"]], [(2, 10, 40, 31)])
        self.assertIn("31 rejects of any kind in partition 2, offsets 10 to 40",
                      self.scene.admin("rejects-replay").stdout)

    def test_a_verdict_without_bytes_is_told(self):
        """Its row was removed while a replay of it was under way, and refused beyond a full commit's budget."""
        self.start()
        self.given([late("l1")])
        self.scene.query("UPDATE tally.reject SET record_key = NULL, record_value = NULL, record_headers = NULL")
        report = self.replay("--apply", "--unchecked")
        self.assertEqual(report["sums"], (0, 0, 1))
        self.assertIn("bytes are not kept", report["refused"][0]["why"])

    def test_verdicts_past_the_budget_of_a_commit(self):
        """Refused again beyond what a commit keeps, they would look as if they had been counted."""
        self.start()
        total = 1_200  # of 60 kB: a commit keeps 64 MiB
        records = [(f"c{i}", event_text(f"c{i}", "acme", "chat", {"count": 5, "pad": "x" * 60_000}, text(NOW)))
                   for i in range(total)]
        self.given(records[:total // 2])
        self.given(records[total // 2:])
        self.scene.aggregators[-1].stop()
        self.assertEqual(self.replay("--apply")["sums"], (total, 0, 0))
        second = self.start()
        self.await_received()
        self.assertEqual(self.scene.query("SELECT verdicts, count(*), count(record_value) FROM tally.reject GROUP BY 1"),
                         [["2", str(total), str(total)]])
        self.assertEqual(self.scene.query("SELECT FROM tally.reject_overflow"), [])
        self.assertEqual(self.replay("--again", "--unchecked")["sums"], (total, 0, 0))
        second.await_ready()
        self.balanced()

    def test_the_aggregator_is_away_and_dies_while_it_receives(self):
        self.start()
        records = [late(f"d{i}") for i in range(450)]
        self.given(records)
        self.scene.aggregators[-1].stop()
        self.assertEqual(self.replay("--apply")["sums"], (450, 0, 0))
        self.assertEqual(self.scene.query("SELECT sum(records), bool_and(readmission) FROM tally.handoff"),
                         [["450", "t"]])
        for failpoint in ("after_fold", "after_fence", "in_commit", "after_commit"):
            self.start(failpoints=f"aggregator.{failpoint}=kill@1")
            self.scene.publish([call(f"after {failpoint}")])
            self.scene.aggregators[-1].await_killed()
        last = self.start()
        self.scene.await_all_committed()
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "received"), [450, 450])
        self.assertEqual(self.events(), 454)
        last.await_ready()
        self.balanced()

    def test_a_replay_that_was_cut_off_is_run_again(self):
        self.start()
        self.given([late(f"d{i}") for i in range(450)])
        for action in ("cut_commit", "cut_answer"):
            gate = Gate("127.0.0.1", int(setting(self.scene.database, "port")), ["pass", action])
            try:
                through_gate = conninfo_with(dbname=self.scene.name, host="127.0.0.1", port=gate.port,
                                             sslmode="disable", gssencmode="disable")
                report = self.replay("--apply", database=through_gate, check=False)
                self.assertEqual(report["exit"], 1, report)
                wait_until(lambda: gate.struck == [action], "the second page is cut")  # noqa: B023
            finally:
                gate.close()
        self.assertEqual(self.scene.value("SELECT count(*) FROM tally.readmission"), "450")
        self.assertEqual(self.replay("--apply")["sums"], (0, 450, 0))
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "duplicate"), [450, 0])
        self.balanced()

    def test_the_topic_grows_while_replayed_records_wait(self):
        self.start(instance="")
        self.given([late(f"d{i}") for i in range(300)])
        self.scene.aggregators[-1].stop()
        self.assertEqual(self.replay("--limit", "150", "--apply")["sums"], (150, 0, 0))
        self.scene.grow(6)
        second = self.start(instance="")
        wait_until(lambda: self.scene.value("SELECT partitions FROM tally.deployment") == "6", "the growth is known")
        self.assertEqual(self.replay("--apply")["sums"], (150, 150, 0))
        # To the homes of six partitions at once; those that waited at one of the four go on from there.
        self.assertEqual(self.scene.query("SELECT FROM tally.handoff WHERE readmission AND partitions = 6 "
                                          "AND home NOT BETWEEN 0 AND 5"), [])
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "duplicate"), [300, 0])
        self.assertGreater(self.ledger("handed_off")[0], 50)
        self.assertLess(self.ledger("handed_off")[0], 150)
        self.assertEqual(self.events(), 300)
        second.await_ready()
        self.balanced()

    def test_headers_of_any_bytes_come_back(self):
        """A NUL in a header's value is the producer's right: it must not cost the replay, nor another id."""
        self.start()

        def binary(event_id, *more):
            attributes = {"specversion": "1.0", "id": event_id, "source": "test", "type": "call",
                          "subject": "acme", "time": text(NOW - timedelta(hours=5))}
            headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
            return event_id, json.dumps(OK), [*more, *headers]
        structured = late("plain")
        records = [binary("none"), binary("one", ("trace", b"a\0b")), binary("two", ("trace", b"a\0ce_id\0forged")),
                   binary("three", ("tr\x01ace", b"\x01\0\xff")), (*structured, [("trace", b"\0")])]
        self.given(records + [("bad", b"{", [("trace", b"\0\0")])])
        self.assertEqual(self.ledger("late", "rejected"), [5, 1])
        report = self.replay("--apply")
        self.assertEqual(report["sums"], (5, 0, 1))
        self.assertIn("not a JSON object", report["refused"][0]["why"])
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "received"), [5, 5])
        self.assertEqual(self.events(), 5)
        # The identities are the records' own: what comes again is known.
        self.given(records)
        self.assertEqual(self.ledger("late", "readmitted", "duplicate"), [5, 5, 5])
        self.balanced()

    def test_again_while_a_replay_still_waits(self):
        """What nobody has judged yet is not replayed again: one record would be judged twice at once."""
        self.start()
        self.given([(f"c{i}", event_text(f"c{i}", "acme", "chat", {"count": 5}, text(NOW))) for i in range(250)])
        self.scene.aggregators[-1].stop()

        def again(*arguments):
            report = self.replay("--again", *arguments)
            return [*report["sums"], report["total"][0]["waiting"]]
        with ThreadPoolExecutor() as pool:
            runs = [pool.submit(again, "--apply") for _ in range(2)]
            sums = [run.result() for run in runs]
        self.assertEqual([sum(column) for column in zip(*sums)], [250, 0, 0, 250])
        for arguments in ([], ["--apply"]):
            self.assertEqual(again(*arguments), [0, 0, 0, 250])
        self.assertEqual(self.scene.value("SELECT sum(records) FROM tally.handoff"), "250")
        second = self.start()
        self.await_received()
        self.assertEqual(self.ledger("rejected", "received"), [500, 250])
        self.balanced()
        # Judged once more, each waits no more.
        self.assertEqual(again("--apply"), [250, 0, 0, 0])
        self.await_received()
        self.assertEqual(self.ledger("rejected", "received"), [750, 500])
        self.assertEqual(self.scene.query("SELECT DISTINCT verdicts FROM tally.reject"), [["3"]])
        second.await_ready()
        self.balanced()

    def test_two_replays_at_once(self):
        self.start()
        self.given([late(f"d{i}") for i in range(300)])
        with ThreadPoolExecutor() as pool:
            reports = [pool.submit(self.replay, "--apply") for _ in range(2)]
            sums = [report.result()["sums"] for report in reports]
        self.assertEqual(sum(readmitted for readmitted, _, _ in sums), 300)
        self.await_received()
        self.assertEqual(self.ledger("readmitted", "duplicate"), [300, 0])
        self.balanced()


if __name__ == "__main__":
    unittest.main(verbosity=2)
