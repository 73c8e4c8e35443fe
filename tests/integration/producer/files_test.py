"""tally-producer over files, against the real broker: what stands in the file is what is in the topic."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support import scene  # noqa: E402
from support.daemon import read_topic  # noqa: E402
from support.scene import BIN, create_topic  # noqa: E402

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

    def run_to_end(self, verb, *arguments, code=0):
        """The account, and what was said on stderr."""
        done = subprocess.run(self.command(verb, *arguments), capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return self.balanced(done.stdout), done.stderr

    def balanced(self, said):
        account = json.loads(said)
        self.assertEqual(account["lines"], sum(account[name] for name in ("delivered", "refused", "failed")), said)
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


if __name__ == "__main__":
    unittest.main()
