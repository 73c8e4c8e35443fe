"""Who sends: the client library in a process of its own, and clients of the HTTP daemon, which dies and comes back."""

import json
import os
import re
import signal
import subprocess
import threading
import time

from books import Book
from support.daemon import Daemon

RETRY_RATE = 20_000
RETRIES = 5


class Unexpected(AssertionError):
    """tally, not the drill, did something wrong."""


class Sender:
    """A stream of events and the process that sends them, in the storm and again in the retry."""

    PROGRAM = ""
    served = None  # the daemon that it sends to
    least = 0.8  # offered, of the events that are due in the storm: it waits for nobody

    def __init__(self, world, name, prefix, rate, pad):
        self.world, self.name, self.rate = world, name, rate
        self.path = f"{world.dir}/{prefix}.told"
        with open(self.path, "wb"):
            pass  # nothing was told yet
        self.capacity = rate * world.options.most_seconds
        self.book = Book(name, prefix, self.path, self.capacity)
        self.arguments = ["--file", self.path, "--prefix", prefix, "--tenants", world.options.tenants, "--pad-bytes", pad]
        self.process, self.account, self.began, self.storm_seconds = None, None, 0, 0

    def launch(self, *arguments):
        log = open(f"{self.world.dir}/{self.book.prefix}.log", "ab")  # pylint: disable=consider-using-with
        with log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [f"{self.world.options.bin}/{self.PROGRAM}", *map(str, [*self.arguments, *arguments])],
                stdout=subprocess.PIPE, stderr=log, text=True)
        self.began = time.monotonic()

    def check(self):
        if self.process.poll() is not None:
            raise Unexpected(f"{self.name}: {self.PROGRAM} ended by itself with {self.process.returncode}")

    def tell_to_stop(self):
        """No more events."""
        self.check()
        self.process.send_signal(signal.SIGTERM)
        self.storm_seconds = time.monotonic() - self.began

    def told(self, letters):
        with open(self.path, "rb") as file:
            said = file.read()
        return sum(said.count(letter) for letter in letters)

    def read_account(self):
        line = self.process.stdout.readline()
        if not line:
            raise Unexpected(f"{self.name}: {self.PROGRAM} ended without an account: {self.process.wait(30)}")
        self.account = json.loads(line)
        self.book.read()

    def await_end(self, seconds=60):
        if self.process.wait(seconds) != 0:
            raise Unexpected(f"{self.name}: {self.PROGRAM} ended with {self.process.returncode}")

    def end(self):
        """However it stands."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Library(Sender):
    """tally-recorder: one process with one client, at level acked or spooled."""

    PROGRAM = "tally-recorder"

    def __init__(self, world, name, prefix, rate, pad=0, spool=None):
        super().__init__(world, name, prefix, rate, pad)
        self.arguments += ["--brokers", world.stack.brokers, "--topic", world.scene.topic, "--stay"]
        if spool:
            self.arguments += ["--level", "spooled", "--spool", spool, "--spool-mb", world.disk.spool_mb]

    def start(self):
        # Bounds that an outage of some seconds reaches: then events are lost and dropped, and counted.
        self.launch("--events", self.capacity, "--rate", self.rate, "--delivery-timeout-ms", 4000,
                    "--queue-events", 4 * self.rate)

    def stop(self):
        """The process stays, and what lies in its spool is delivered."""
        self.tell_to_stop()
        self.read_account()

    def retry(self):
        """A full queue drops in a retry as well: again, until nothing is left."""
        for _ in range(RETRIES):
            self.process.send_signal(signal.SIGTERM)
            self.await_end()
            self.launch("--events", len(self.book.told), "--rate", RETRY_RATE, "--retry")
            self.read_account()
            if self.told(b"k") == len(self.book.told):
                return

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        self.await_end()


class Http(Sender):
    """tally-poster: keep-alive connections, requests of one event and of many."""

    PROGRAM = "tally-poster"

    def __init__(self, world, served, name, prefix, rate, pad=0, least=0.5):
        super().__init__(world, name, prefix, rate, pad)
        self.served, self.least = served, least
        self.arguments += ["--where", served.where]

    def start(self):
        self.launch("--events", self.capacity, "--rate", self.rate, "--connections", self.world.options.connections)

    def stop(self):
        self.tell_to_stop()
        self.read_account()
        self.await_end()
        self.served.learn(self.account["lives"])

    def retry(self):
        self.launch("--events", self.capacity, "--rate", RETRY_RATE, "--connections", 8, "--retry")
        self.read_account()
        self.await_end()
        self.served.learn(self.account["lives"])

    def finish(self):
        """Its process has ended."""


class Served:
    """`tally-producer serve` under a supervisor: whoever ends is started anew, as systemd would."""

    def __init__(self, world, name, **options):
        self.world, self.name, self.options = world, name, options
        self.where = f"{world.dir}/{name.replace(' ', '-')}.where"
        self.life, self.last_looks, self.told = 0, {}, {}
        self.lock = threading.Lock()
        self.daemon, self.ended = None, False

    def start(self):
        self.life += 1
        # Bounds that an outage of some seconds reaches: then whole requests are refused.
        self.daemon = Daemon(self.world.scene.topic, brokers=self.world.stack.brokers, max_batch=1000,
                             max_events_in_flight=12_000, **self.options)
        with open(self.where + ".new", "w", encoding="ascii") as file:
            file.write(f"{self.life} {self.daemon.port()}\n")
        os.replace(self.where + ".new", self.where)

    def kill(self, pause_s, stopped):
        """SIGKILL; a moment later there is another."""
        with self.lock:
            if self.ended:
                return
            self.last_looks[self.life] = self.look()
            self.daemon.kill()
            self.keep_log()
            stopped.wait(pause_s)
            self.start()

    def check(self):
        with self.lock:
            if self.daemon.process.poll() is not None:
                raise Unexpected(f"{self.name} ended by itself with {self.daemon.process.returncode}: {self.daemon.log()[-2000:]}")

    def look(self):
        text = self.daemon.get("/metrics").body.decode()

        def labelled(name, label):
            return {value: int(float(count)) for value, count in
                    re.findall(rf'^{name}{{{label}="(\w+)"}} (\S+)$', text, re.M)}
        return {**labelled("tally_producer_http_events_total", "end"),
                "answers": {status: count for status, count in
                            labelled("tally_producer_http_answers_total", "status").items() if count},
                "stray_ends": int(float(re.search(r"^tally_producer_http_stray_ends_total (\S+)$", text, re.M).group(1))),
                "spool": {name: int(float(count)) for name, count in
                          re.findall(r"^tally_producer_spool_(\w+)_records (\S+)$", text, re.M)}}

    def learn(self, lives):
        """What its clients say of each of its lives, added up."""
        for life, said in lives.items():
            known = self.told.setdefault(int(life), {"refused": {}, "answers": {}})
            for name, value in said.items():
                if isinstance(value, dict):
                    for key, count in value.items():
                        known[name][key] = known[name].get(key, 0) + count
                else:
                    known[name] = known.get(name, 0) + value

    def keep_log(self):
        with open(f"{self.world.dir}/{self.name.replace(' ', '-')}.log", "a", encoding="utf-8") as file:
            file.write(self.daemon.log())

    def stop(self):
        if self.daemon.stop() != 0:
            raise Unexpected(f"{self.name}: SIGTERM ended in exit code {self.daemon.process.returncode}")

    def end(self):
        """However it stands; a kill that is under way brings up no other behind it."""
        with self.lock:
            self.ended = True
            if self.daemon:
                self.daemon.kill()
                self.keep_log()
