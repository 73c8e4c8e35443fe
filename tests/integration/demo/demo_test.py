"""The demo compares three independent additions, so it must see a single altered total.

Runs `tests/support/demo/demo.sh` twice on a small stream, with a stack of its own: once as it is (all lines
equal), once with one total altered by hand in Postgres before the comparison (it names the line and fails). A third run
is stopped midway, while clients send, and leaves no process behind.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["TALLY_TEST_ROOT"]
ALTER = """psql -XAtq "$TALLY_DATABASE" -v ON_ERROR_STOP=1 -c "
  UPDATE tally.usage_window SET quantity = quantity + 0.001
  WHERE ctid = (SELECT ctid FROM tally.usage_window WHERE meter = 'ai_tokens' LIMIT 1)" """


def run_demo(extra):
    with tempfile.TemporaryDirectory(prefix="tally-demo-") as directory:
        environment = {**os.environ, "TALLY_DEMO_DIR": f"{directory}/stack", "NO_COLOR": "1", **extra}
        return subprocess.run([f"{ROOT}/tests/support/demo/demo.sh", "--events", "20000"], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


def processes_with(word):
    """Those whose environment names it, as that of all the demo starts does."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if word.encode() in file.read():
                    found.append(int(name))
        except OSError:  # it ended, or is another user's
            pass
    return found


class Demo(unittest.TestCase):
    def test_all_lines_are_equal(self):
        done = run_demo({})
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-2000:])
        self.assertNotIn("DIFFERENT", done.stdout)
        spooled = re.search(r"recorded all; (\d+) of them wait in the spool", done.stdout)
        self.assertGreater(int(spooled.group(1)), 0, "nothing was recorded while the broker was away")
        for line in ("counted", "duplicate", "conflict", "late", "rejected", "unmetered", "filtered", "ai_tokens"):
            self.assertIn(f"\n  {line}", done.stdout)

    def test_an_altered_total_is_named(self):
        done = run_demo({"TALLY_DEMO_BEFORE_COMPARE": ALTER})
        self.assertNotEqual(done.returncode, 0, done.stdout[-4000:])
        altered = [line for line in done.stdout.splitlines() if "DIFFERENT" in line]
        self.assertEqual([line.split()[0] for line in altered], ["ai_tokens"], done.stdout[-4000:])
        self.assertIn("different: ai_tokens", done.stdout)

    def test_a_stop_midway_leaves_nothing_behind(self):
        with tempfile.TemporaryDirectory(prefix="tally-demo-") as directory:
            demo = subprocess.Popen(  # pylint: disable=consider-using-with
                [f"{ROOT}/tests/support/demo/demo.sh", "--events", "20000"], text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, "TALLY_DEMO_DIR": f"{directory}/stack", "NO_COLOR": "1"})
            self.addCleanup(demo.kill)
            for line in demo.stdout:
                if "SIGKILL to the aggregator" in line:
                    break
            demo.send_signal(signal.SIGTERM)
            said, _ = demo.communicate(timeout=120)  # nobody else has its output open
            self.assertNotEqual(demo.returncode, 0, said)
            self.assertEqual(processes_with(directory), [], said)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
