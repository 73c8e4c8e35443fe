"""`tally-producer load` with a real broker and a real daemon: what it says it did is what stands in the topic."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support import scene  # noqa: E402
from support.daemon import Daemon, read_topic  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import BIN, create_topic, use_stack, wait_until  # noqa: E402


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_broker())

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tally-load-")
        self.addCleanup(shutil.rmtree, self.root)
        self.topic = f"load.{self.id().rsplit('.', 1)[1]}"
        create_topic(self.topic)

    def daemon(self, **options):
        started = Daemon(self.topic, **options)
        self.addCleanup(started.kill)
        return started

    def begin(self, *flags, **environment):
        with open(f"{self.root}/progress", "w", encoding="utf-8") as progress:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                [f"{BIN}/tally-producer", "load", "--json", "--brokers", scene.BROKERS, "--topic", self.topic, *flags],
                stdout=subprocess.PIPE, stderr=progress, text=True, env={**os.environ, **environment})
        self.addCleanup(process.kill)
        return process

    def progress(self):
        with open(f"{self.root}/progress", encoding="utf-8") as file:
            return file.read()

    def await_errors(self):
        """The load has told of events that came to nothing."""
        wait_until(lambda: re.search(r", [1-9][\d,]* errors", self.progress()), self.progress, 120)

    def end(self, process):
        """The account, which balances, and the exit code, which agrees with it."""
        said, _ = process.communicate(timeout=240)
        self.assertTrue(said, self.progress())
        account = json.loads(said)
        self.assertEqual(account["due"], account["sent"] + account["not_sent"], account)
        self.assertEqual(account["sent"],
                         account["acked"] + account["refused"] + account["lost"] + account["unanswered"], account)
        whole = account["acked"] == account["due"] and not account["problem"]
        self.assertEqual(process.returncode, 0 if whole else 1, account)
        return account

    def load(self, *flags, **environment):
        return self.end(self.begin(*flags, **environment))

    def ids(self, seed, numbers):
        return {f"load-{seed}-{number:012}" for number in numbers}

    def test_kafka_and_the_same_again(self):
        flags = ("--rate", "2000", "--events", "3000", "--duplicates", "10", "--seed", "5", "--tenants", "3", "--types",
                 "a,b", "--source", "/tried")
        account = self.load(*flags)
        self.assertEqual((account["acked"], account["copies"]), (3000, 300))
        first = read_topic(self.topic)
        self.assertEqual(set(first), self.ids(5, range(2700)))
        self.assertEqual(sum(map(len, first.values())), 3000)
        self.assertEqual({len(set(values)) for values in first.values()}, {1})
        events = [json.loads(values[0]) for values in first.values()]
        self.assertEqual({event["subject"] for event in events}, {"load-0001", "load-0002", "load-0003"})
        self.assertEqual({(event["type"], event["source"]) for event in events}, {("a", "/tried"), ("b", "/tried")})
        self.assertEqual(self.load(*flags)["acked"], 3000)
        second = read_topic(self.topic)
        self.assertEqual({name: 2 * values for name, values in first.items()}, second)

    def test_http_and_a_unix_socket(self):
        path = f"{self.root}/socket"
        daemon = self.daemon(unix_socket=path)
        target = f"http://127.0.0.1:{daemon.port()}"
        account = self.load("--http", target, "--rate", "2000", "--events", "2000", "--seed", "1")
        self.assertEqual(account["acked"], 2000)
        latency = account["latency_us"]
        self.assertEqual(sorted(latency.values()), list(latency.values()))
        self.assertGreater(latency["p50"], 0)
        self.assertEqual(self.load("--http", f"unix:{path}", "--events", "500", "--batch", "7", "--connections", "2",
                                   "--seed", "2")["acked"], 500)
        copies = read_topic(self.topic)
        self.assertEqual(set(copies), self.ids(1, range(2000)) | self.ids(2, range(500)))
        self.assertEqual({len(values) for values in copies.values()}, {1})

    def test_the_daemon_is_killed_midway(self):
        daemon = self.daemon()
        process = self.begin("--http", f"http://127.0.0.1:{daemon.port()}", "--rate", "500", "--duration", "600",
                             "--seed", "3")
        wait_until(lambda: len(read_topic(self.topic)) > 500, "events arrive")
        daemon.kill()
        self.await_errors()
        process.send_signal(signal.SIGTERM)
        account = self.end(process)
        self.assertGreater(account["acked"], 0)
        self.assertGreater(account["not_sent_by_reason"].get("no connection", 0) + account["unanswered"], 0, account)
        kept = len(read_topic(self.topic))
        self.assertLessEqual(account["acked"], kept)
        self.assertLessEqual(kept, account["sent"])

    def test_a_latency_holds_a_stall(self):
        daemon = self.daemon()
        process = self.begin("--http", f"http://127.0.0.1:{daemon.port()}", "--rate", "500", "--duration", "600",
                             "--seed", "9")
        wait_until(lambda: len(read_topic(self.topic)) > 500, "events arrive")
        daemon.signal(signal.SIGSTOP)
        try:
            time.sleep(2.1)  # the stall itself
        finally:
            daemon.signal(signal.SIGCONT)
        seen = len(read_topic(self.topic))
        wait_until(lambda: len(read_topic(self.topic)) > seen + 500, "events arrive again")
        process.send_signal(signal.SIGTERM)
        account = self.end(process)
        self.assertEqual(account["acked"], account["sent"])
        self.assertGreaterEqual(account["latency_us"]["max"], 2_000_000, account)

    def test_a_busy_key_is_waited_for_and_told(self):
        said = subprocess.run([f"{BIN}/tally-producer", "key", "new", "--tenant", "load-0001"], check=True,
                              capture_output=True, text=True).stdout.split("\n")
        with open(f"{self.root}/keys", "w", encoding="utf-8") as file:
            file.write(said[3].strip() + "\n")
        daemon = self.daemon(keys_file=f"{self.root}/keys", max_batch=10, max_key_events=10, linger_ms=300)
        flags = ("--http", f"http://127.0.0.1:{daemon.port()}", "--rate", "200", "--events", "100", "--batch", "10",
                 "--connections", "4")
        key = {"TALLY_API_KEY": said[1].strip()}
        self.assertEqual(self.load(*flags, "--tenants", "1")["refused_by_reason"], {"401 unauthorized": 100})
        other = self.load(*flags, "--tenants", "9", **key)
        self.assertIn("403 other_tenant", other["refused_by_reason"])
        once = self.load(*flags, "--tenants", "1", "--seed", "6", **key)
        self.assertGreater(once["refused_by_reason"]["429 too_many_in_flight"], 0)
        self.assertGreater(once["told_to_wait"], 0)
        again = self.load(*flags, "--tenants", "1", "--seed", "6", "--retry", "100", **key)
        self.assertEqual(again["acked"], 100)
        self.assertGreater(again["sent_again"], 0)
        self.assertEqual({name for name in read_topic(self.topic) if name.startswith("load-6-")},
                         self.ids(6, range(100)))

    def test_a_stop_drains(self):
        process = self.begin("--rate", "500", "--duration", "600", "--seed", "4")
        wait_until(lambda: len(read_topic(self.topic)) > 500, "events arrive")
        process.send_signal(signal.SIGTERM)
        account = self.end(process)
        self.assertEqual(account["problem"], "stopped before all was due")
        self.assertEqual(account["acked"], account["sent"])
        self.assertEqual(set(read_topic(self.topic)), self.ids(4, range(account["sent"])))

    def test_the_broker_is_away(self):
        self.stack.kill_kafka()
        try:
            done = subprocess.run([f"{BIN}/tally-producer", "load", "--brokers", scene.BROKERS, "--topic", self.topic],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        finally:
            self.stack.start_kafka()
        process = self.begin("--rate", "500", "--duration", "600", "--ack-timeout-ms", "1000", "--seed", "8")
        wait_until(lambda: len(read_topic(self.topic)) > 100, "events arrive")
        self.stack.kill_kafka()
        try:
            self.await_errors()
            process.send_signal(signal.SIGTERM)
            account = self.end(process)
        finally:
            self.stack.start_kafka()
        self.assertGreater(account["lost_by_reason"].get("_MSG_TIMED_OUT", 0), 0, account)
        kept = len(read_topic(self.topic))
        self.assertLessEqual(account["acked"], kept)

    def test_settings_that_no_event_could_have(self):
        for flags, words in ((("--types", "a,,b"), "type"), (("--http", "nowhere"), "base URL"),
                             (("--duplicates", "100"), "duplicates"), (("--api-key", "tk_1"), "api-key")):
            done = subprocess.run([f"{BIN}/tally-producer", "load", "--brokers", scene.BROKERS, "--topic", self.topic,
                                   *flags], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
