"""tally-producer over files, against the real broker: what stands in the file is what is in the topic."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from confluent_kafka import Consumer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support import scene  # noqa: E402
from support.daemon import read_topic  # noqa: E402
from support.scene import BIN, create_topic, end_of, wait_until  # noqa: E402

SCHEMAS = os.path.join(os.environ["TALLY_TEST_ROOT"], "schemas", "csv")


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tally-files-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.topic = f"files.{os.getpid()}.{self.id().rsplit('.', 1)[1]}"
        create_topic(self.topic)
        self.addCleanup(scene.delete_topic, self.topic)

    def path(self, name, text=None):
        path = os.path.join(self.dir, name)
        if text is not None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return path

    def command(self, verb, *arguments):
        return [f"{BIN}/tally-producer", verb, *arguments, "--json", "--brokers", scene.BROKERS, "--topic", self.topic]

    def run_to_end(self, verb, *arguments, code=0, **stdin):
        """The account, and what was said on stderr."""
        done = subprocess.run(self.command(verb, *arguments), capture_output=True, text=True, timeout=120, check=False, **stdin)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return self.balanced(done.stdout), done.stderr

    def balanced(self, said):
        account = json.loads(said)
        self.assertEqual(account["lines"], sum(account[name] for name in ("delivered", "refused", "failed", "not_sent")),
                         said)
        return account

    def test_csv_becomes_the_events_that_its_mapping_says(self):
        head = "batch,row,finished_at,customer,tokens,cost,cached,model\r\n"
        text = "\ufeff" + head + "".join(
            f'7,{i},2026-11-21 08:00:{i % 60:02}.5,acme,{i}.000000000001,{"" if i % 2 else "1e-3"},{i % 2},"m ""{i}"",\nx"\r\n'
            for i in range(2_000))
        file = self.path("usage.csv", text)
        flags = ("--format", "csv", "--map", f"{SCHEMAS}/example.json")
        account, _ = self.run_to_end("publish", file, *flags)
        self.assertEqual(account["delivered"], 2_000)
        copies = read_topic(self.topic)
        self.assertEqual(len(copies), 2_000)
        self.assertEqual(copies["7|1999"], [
            '{"specversion":"1.0","id":"7|1999","source":"/gateway","type":"llm.completion","subject":"acme",'
            '"time":"2026-11-21T08:00:19.500000Z","datacontenttype":"application/json",'
            '"data":{"tokens":1999.000000000001,"cost":{},"cached":true,"model":"m \\"1999\\",\\u000ax"}}'])
        # The same file again is the same events.
        self.run_to_end("publish", file, *flags)
        self.assertEqual(read_topic(self.topic), {key: values * 2 for key, values in copies.items()})

    def test_bad_rows_are_named_and_a_lacking_column_publishes_nothing(self):
        head = "batch;row;finished_at;customer;tokens;cost;cached;model\n"
        good = "7;{};2026-11-21 08:00:00;acme;5;;0;m\n"
        file = self.path("usage.csv", head + good.format(1) + good.format(2).replace(";5;", ";five;") + good.format(3))
        flags = ("--format", "csv", "--map", f"{SCHEMAS}/example.json", "--delimiter", ";")
        account, said = self.run_to_end("publish", file, *flags, code=1)
        self.assertEqual((account["delivered"], account["refused"]), (2, 1))
        self.assertIn(f"{file}:3: column tokens: `five` is no number", said)
        account, _ = self.run_to_end("publish", file, *flags, "--strict", code=1)
        self.assertEqual((account["lines"], account["stopped_before_line"]), (2, 4))
        before = len(read_topic(self.topic))
        lacking = self.path("lacking.csv", head.replace("tokens", "words") + good.format(4))
        done = subprocess.run(self.command("publish", lacking, *flags), capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn('the header has no column "tokens", which the mapping names; it has batch, row,', done.stderr)
        self.assertEqual(len(read_topic(self.topic)), before)
        done = subprocess.run(self.command("publish", lacking, "--format", "csv", "--map", "/dev/null"), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("tally-producer: /dev/null: ", done.stderr)

    def event_line(self, number):
        return json.dumps({"specversion": "1.0", "id": f"id-{number}", "source": "/s", "type": "t", "subject": "tenant",
                           "data": {"n": number}}, separators=(",", ":"))

    def start(self, *arguments):
        """A process in the background; its account is read by stop()."""
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE,  # pylint: disable=consider-using-with
                                   stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 0, said)
        return self.balanced(said)

    def state_of(self, path):
        """What a state says; {} while there is none."""
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def in_topic(self):
        consumer = Consumer({"bootstrap.servers": scene.BROKERS, "group.id": "files_test"})
        try:
            return sum(end_of(consumer, self.topic, p) for p in range(scene.PARTITIONS))
        finally:
            consumer.close()

    def test_a_publish_that_was_killed_goes_on_where_it_was(self):
        count = 200_000
        file = self.path("events.ndjson", "".join(self.event_line(i) + "\n" for i in range(count)))
        state = self.path("events.state")
        # So slow that it can be killed on the way.
        slow = ("--kafka.queue.buffering.max.messages=500", "--kafka.linger.ms=20")
        process = self.start("publish", file, "--state", state, *slow)
        wait_until(lambda: self.state_of(state).get("line", 1) > 1_000, "the state has moved")
        process.kill()
        process.wait()
        kept = self.state_of(state)
        self.assertLess(kept["line"], count)
        account, _ = self.run_to_end("publish", file, "--state", state)
        self.assertEqual(account["resumed_at_line"], kept["line"])
        self.assertEqual(account["delivered"], count - (kept["line"] - 1))
        copies = read_topic(self.topic)
        self.assertEqual(len(copies), count)
        self.assertLessEqual(max(map(len, copies.values())), 2)
        for i in (0, kept["line"], count - 1):
            self.assertEqual(set(copies[f"id-{i}"]), {self.event_line(i)})
        account, _ = self.run_to_end("publish", file, "--state", state)
        self.assertEqual((account["lines"], account["resumed_at_line"]), (0, count + 1))
        other = self.path("other.ndjson", self.event_line(1) + "\n")
        done = subprocess.run(self.command("publish", other, "--state", state), capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("the state is of another file than", done.stderr)

    def log_line(self, number, user="acme"):
        return f'192.0.2.1 - {user} [21/Nov/2026:08:00:{number % 60:02} +0000] "GET /{number}?q HTTP/1.1" 200 {number} "-" "-"\n'

    def log_lines(self, first, count):
        return "".join(self.log_line(i) for i in range(first, first + count))

    def test_tail_follows_through_rotation_and_a_kill(self):
        log, state = self.path("access.log", self.log_lines(0, 1_000)), self.path("access.state")
        flags = (log, "--preset", "combined", "--type", "api.request", "--source", "/nginx", "--state", state)
        process = self.start("tail", *flags)
        wait_until(lambda: self.in_topic() == 1_000, "the first thousand")
        os.rename(log, log + ".1")
        with open(log + ".1", "a", encoding="utf-8") as file:
            file.write(self.log_lines(1_000, 10) + self.log_line(0, user="-") + "nonsense\n")
        self.path("access.log", self.log_lines(2_000, 500))
        wait_until(lambda: self.in_topic() == 1_510, "what came with the rotation")
        process.kill()
        process.wait()
        # While nobody follows: more lines, and one more rotation.
        with open(log, "a", encoding="utf-8") as file:
            file.write(self.log_lines(2_500, 5))
        os.rename(log, log + ".2")
        self.path("access.log", self.log_lines(3_000, 5))
        again = self.start("tail", *flags)
        wait_until(lambda: self.state_of(state).get("line") == 6, "the newest file is acked")
        account = self.stop(again)
        self.assertGreaterEqual(account["delivered"], 10)
        copies = read_topic(self.topic)
        paths = {json.loads(value)["data"]["path"] for values in copies.values() for value in values}
        numbers = [*range(1_010), *range(2_000, 2_505), *range(3_000, 3_005)]
        self.assertEqual(paths, {f"/{i}" for i in numbers})
        self.assertEqual(len(copies), len(numbers))
        # Read anew, without its state, a file is the same events.
        account, _ = self.run_to_end("tail", log + ".1", *flags[1:-2], "--once")
        self.assertEqual((account["delivered"], account["not_sent"]), (1_010, 2))
        self.assertEqual(set(read_topic(self.topic)), set(copies))

    def test_tail_run_by_cron_goes_through_a_rotation(self):
        log, state = self.path("access.log", self.log_lines(0, 10)), self.path("access.state")
        flags = (log, "--preset", "combined", "--type", "api.request", "--source", "/nginx", "--state", state, "--once",
                 "--rotate-grace-ms", "0")
        self.run_to_end("tail", *flags)
        with open(log, "a", encoding="utf-8") as file:
            file.write(self.log_lines(10, 5))
        os.rename(log, log + ".1")
        cut = self.log_line(18)[:20]
        self.path("access.log", self.log_lines(15, 3) + cut)
        account, _ = self.run_to_end("tail", *flags, code=1)
        self.assertEqual((account["delivered"], account["left_bytes"], account["late_bytes"]), (8, len(cut), 0))
        self.assertEqual(len(read_topic(self.topic)), 18)
        # An old worker writes on: no run reads it, so the next one tells it, once.
        with open(log, "a", encoding="utf-8") as file:
            file.write(self.log_line(18)[20:])
        with open(log + ".1", "a", encoding="utf-8") as file:
            file.write(self.log_line(19))
        account, said = self.run_to_end("tail", *flags, code=1)
        self.assertEqual((account["delivered"], account["late_bytes"]), (1, len(self.log_line(19))))
        self.assertIn(f"{log}.1, which was rotated away, was written to after it was left", said)
        self.run_to_end("tail", *flags)

    def test_a_state_is_one_runs_at_a_time(self):
        """Runs of cron that met ended each other, and a tail that a supervisor ran."""
        log, state = self.path("access.log", self.log_lines(0, 10)), self.path("access.state")
        flags = (log, "--preset", "combined", "--type", "api.request", "--source", "/nginx", "--state", state)
        process = self.start("tail", *flags)
        wait_until(lambda: self.state_of(state).get("line") == 11, "all are acked")
        for more in ((), ("--once",)):
            done = subprocess.run(self.command("tail", *flags, *more), capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(f"state {state} is in use by process {process.pid}: one run at a time", done.stderr)
        with open(log, "a", encoding="utf-8") as file:
            file.write(self.log_lines(10, 5))
        wait_until(lambda: self.state_of(state).get("line") == 16, "the first one goes on")
        self.assertEqual(self.stop(process)["delivered"], 15)
        self.assertEqual(len(read_topic(self.topic)), 15)
        self.run_to_end("tail", *flags, "--once")

    def test_a_cut_line_on_standard_input_is_no_event(self):
        lines = "".join(f"2026-11-21T08:00:0{i}Z id-{i} acme n=512\n" for i in range(3))
        flags = ("-", "--type", "t", "--source", "/s", "--pattern", r"^(?P<time>\S+) (?P<id>\S+) (?P<tenant>\S+) n=(?P<n>\d+)$")
        cut = lines[:-2]  # n=51
        left = len(cut) - len(cut[:cut.rindex("\n") + 1])
        piped, _ = self.run_to_end("tail", *flags, code=1, input=cut)
        with open(self.path("app.log", cut), encoding="utf-8") as file:
            redirected, _ = self.run_to_end("tail", *flags, code=1, stdin=file)
        for account in (piped, redirected):
            self.assertEqual((account["delivered"], account["left_bytes"]), (2, left))
        self.assertEqual(set(read_topic(self.topic)), {"id-0", "id-1"})


if __name__ == "__main__":
    unittest.main()
