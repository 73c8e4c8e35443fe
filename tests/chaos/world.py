"""Everything the drill runs on: a Kafka and a Postgres of its own behind gates, the scene's database and topic,
the fleet of aggregators and the producer."""

import os
import random
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))


class Stack:
    """The shell functions of tests/support/stack, on one directory."""

    def __init__(self, directory):
        self.dir = directory

    def call(self, script, seconds=180):
        done = subprocess.run(
            ["bash", "-c", f'source "{ROOT}/tests/support/stack/stack.sh"; dir=$1; {script}',
             "chaos", self.dir], capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{script}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self):
        from support.gate import Gate  # noqa: F401  (fails early when the path is wrong)
        from valve import Valve
        self.call('wipe "$dir"; mkdir -p "$dir/log"; chmod 0755 "$dir"')
        listener = int(self.call("free_port"))
        self.kafka_gate = Valve("127.0.0.1", listener)
        os.environ["TALLY_BROKER_GATE"] = f"{listener} {self.kafka_gate.port}"
        self.call('start_kafka "$dir" & kafka=$!; start_postgres "$dir" && wait "$kafka"')
        self.conninfo = self.call('postgres_conninfo "$dir"')
        self.brokers = self.call('kafka_bootstrap "$dir"')
        port = int(re.search(r"port=(\d+)", self.conninfo).group(1))
        self.postgres_gate = Valve("127.0.0.1", port)

    def stop(self, keep):
        self.call('stop_all "$dir"' if keep else 'wipe "$dir"')


class World:
    def __init__(self, directory, programs, options):
        self.dir, self.options = directory, options
        self.stack = Stack(directory)
        self.say = print
        self.producer = None
        self.scene = self.fleet = self.watch = None
        self.counters = {"producer restarts": 0}
        self.partitions = 4
        os.environ.update(TALLY_TEST_BIN=programs, TALLY_TEST_ROOT=ROOT,
                          TALLY_TEST_PYTHON=sys.executable)

    def start(self):
        self.stack.start()
        os.chdir(self.dir)  # where a crashed process leaves its core
        os.environ.update(TALLY_TEST_PG=self.stack.conninfo, TALLY_TEST_BROKERS=self.stack.brokers)
        # The scene reads the addresses when it is imported.
        from fleet import Fleet
        from stream import CATALOGUE
        from support.scene import Scene, conninfo_with
        from watch import Watch
        self.scene = Scene(CATALOGUE)
        self.scene.dir = os.path.join(self.dir, "aggregators")
        os.makedirs(self.scene.dir)
        gate = self.stack.postgres_gate
        database = conninfo_with(dbname=self.scene.name, host="127.0.0.1", port=gate.port,
                                 sslmode="disable", gssencmode="disable")
        self.gated_brokers = f"127.0.0.1:{self.stack.kafka_gate.port}"
        self.fleet = Fleet(self.scene, self.dir, database, self.gated_brokers)
        self.watch = Watch(self.scene)

    def stop(self, keep):
        if self.watch:
            self.watch.stopping.set()
        if self.producer and self.producer.poll() is None:
            self.producer.kill()
            self.producer.wait(30)
        if self.fleet:
            self.fleet.kill()
        os.chdir(ROOT)
        self.stack.stop(keep)

    @property
    def oplog(self):
        return os.path.join(self.dir, "operations.log")

    def start_producer(self, until=None, rate=None):
        from fleet import remember
        arguments = [sys.executable, "-B", os.path.join(HERE, "workload.py"),
                     "--brokers", self.gated_brokers, "--topic", self.scene.topic,
                     "--oplog", self.oplog, "--seed", str(self.options.seed),
                     "--base", self.options.base.isoformat(),
                     "--baseline", str(self.options.baseline),
                     "--rate", str(rate or self.options.rate),
                     "--foreign-per-mille", str(self.options.foreign_per_mille)]
        if until is not None:
            arguments += ["--until", str(until)]
        with open(os.path.join(self.dir, "log", "producer.log"), "ab") as log:
            self.producer = subprocess.Popen(arguments, stdout=log, stderr=log)
        remember(self.dir, "producer", self.producer.pid)

    def producer_log(self):
        with open(os.path.join(self.dir, "log", "producer.log"), encoding="utf-8") as file:
            return file.read()[-3000:]

    def finish_producer(self, stop=False, seconds=180):
        """Until every record it sent is acked."""
        from fleet import Unexpected
        if stop:
            self.producer.terminate()
        try:
            code = self.producer.wait(seconds)
        except subprocess.TimeoutExpired:
            code = "none yet"
        if code != 0:
            raise Unexpected(f"the producer could not finish (exit code {code}): "
                             + self.producer_log())

    def await_all_committed(self, seconds):
        """The seconds it took."""
        began = time.monotonic()
        from support.scene import wait_until
        self.scene.await_all_committed(seconds)
        wait_until(lambda: self.scene.value("SELECT count(*) FROM tally.handoff") == "0",
                   "every handed-off record is home", seconds)
        return time.monotonic() - began

    def rng(self, *names):
        return random.Random(":".join(map(str, (self.options.seed,) + names)))
