"""`tally-producer serve` with 10,000 connections at once: all are answered, or refused at the stated bound, and what each
costs stays below what docs/operating/limits.md says."""

import collections
import json
import os
import resource
import selectors
import shutil
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.daemon import EVENT, Daemon, event, new_key, read_topic  # noqa: E402
from support.scene import create_topic, wait_until  # noqa: E402

CONNECTIONS = 10_000
DESCRIPTORS = CONNECTIONS + 1_000  # of the daemon; this program needs fewer
SLOW = 4_000
REQUESTS_AT_ONCE = 4_000  # below --max-requests-in-flight's 4,096
SOURCES = [f"127.0.1.{n}" for n in range(1, 9)]  # so that ports are not what runs out
IP_BIND_ADDRESS_NO_PORT = 24
# A connection that stands without a request, or after one of a usual size (limits.md).
BYTES_EACH = 16 * 1024
LEFT_SHARE = 0.5  # of what all cost, for a second crowd: what is left behind, not how it lies in memory
PATIENCE_S = 30


def raise_descriptors():
    """"" or why there are too few; the daemon inherits what is got here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(DESCRIPTORS, soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError) as problem:
        return f"{DESCRIPTORS} descriptors are needed, {hard} are to be had: {problem}"
    return ""


def connect(port, number):
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((SOURCES[number % len(SOURCES)], 0))
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", port))
    return connection


def post_bytes(name, tenant, key):
    body = json.dumps(event(name, tenant)).encode()
    return (f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: {EVENT}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def is_whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(end) and len(body) >= int(length or 0)


def status(answer):
    """0: it was cut off without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


class Readers:
    """Connections of which each waits for one answer."""

    def __init__(self, connections, until_closed=False):
        self.until_closed = until_closed
        self.waiting = set(connections)
        self.answers = dict.fromkeys(connections, b"")
        self.selector = selectors.DefaultSelector()
        for connection in connections:
            self.selector.register(connection, selectors.EVENT_READ)

    def read(self):
        """What is there by now."""
        for ready, _ in self.selector.select(0.1):
            connection = ready.fileobj
            try:
                piece = connection.recv(65536)
            except ConnectionError:
                piece = b""
            self.answers[connection] += piece
            if not piece or (not self.until_closed and is_whole(self.answers[connection])):
                self.selector.unregister(connection)
                self.waiting.remove(connection)

    def read_all(self):
        deadline = time.monotonic() + PATIENCE_S
        while self.waiting and time.monotonic() < deadline:
            self.read()
        return self.statuses()

    def statuses(self):
        if self.waiting:
            raise AssertionError(f"{len(self.waiting)} of {len(self.answers)} were not answered")
        self.selector.close()
        return collections.Counter(status(answer) for answer in self.answers.values())


class ServeCrowd(unittest.TestCase):
    def setUp(self):
        problem = raise_descriptors()
        self.assertFalse(problem, f"{problem}; raise the hard limit (ulimit -Hn)")
        self.root = tempfile.mkdtemp(prefix="tally-crowd-")
        self.addCleanup(shutil.rmtree, self.root)
        self.topic = f"serve.crowd.{os.getpid()}"
        create_topic(self.topic)
        self.keys = {}
        lines = []
        for tenant in ("acme", "rival"):
            self.keys[tenant], line = new_key("--tenant", tenant)
            lines.append(line + "\n")
        with open(f"{self.root}/keys", "w", encoding="utf-8") as file:
            file.writelines(lines)
        self.daemon = Daemon(self.topic, max_connections=CONNECTIONS, idle_timeout_ms=600_000, read_timeout_ms=2_000,
                             keys_file=f"{self.root}/keys")
        self.addCleanup(self.daemon.kill)
        self.kept = []
        # It is one of those there may be, and stays.
        self.own = self.daemon.connection()
        self.post_one()

    def post_one(self):
        self.kept.append(f"own-{len(self.kept)}")
        answer = self.daemon.post(event(self.kept[-1]), key=self.keys["acme"], connection=self.own)
        self.assertEqual(answer.status, 202)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))

    def resident_bytes(self):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return 1024 * int(next(line for line in file if line.startswith("VmRSS:")).split()[1])

    def gather(self):
        """As many as there may be, and all of them are there."""
        before = self.descriptors()
        crowd = [connect(self.daemon.port(), number) for number in range(CONNECTIONS - 1)]
        self.addCleanup(lambda: [connection.close() for connection in crowd])
        wait_until(lambda: self.descriptors() >= before + len(crowd), self.daemon.log)
        return crowd

    def all_post(self, crowd, name):
        """Every tenth for a tenant that is not its key's; no more at once than there may be on their way."""
        told, numbered = collections.Counter(), list(enumerate(crowd))
        for start in range(0, len(crowd), REQUESTS_AT_ONCE):
            told += self.some_post(numbered[start:start + REQUESTS_AT_ONCE], name)
        stolen = (len(crowd) + 9) // 10
        self.assertEqual(told, {202: len(crowd) - stolen, 403: stolen})

    def some_post(self, numbered, name):
        for number, connection in numbered:
            tenant, other = ("acme", "rival") if number % 2 else ("rival", "acme")
            is_others = number % 10 == 0
            identity = f"{'stolen' if is_others else name}-{number}"
            if not is_others:
                self.kept.append(identity)
            connection.sendall(post_bytes(identity, other if is_others else tenant, self.keys[tenant]))
        return Readers([connection for _, connection in numbered]).read_all()

    def the_next_are_refused(self):
        """With their reason, but for those that come while too many are being told."""
        told = collections.Counter()
        for number in range(100):
            with connect(self.daemon.port(), number) as connection:
                readers = Readers([connection], until_closed=True)
                told.update(readers.read_all())
                answer = readers.answers[connection]
                self.assertIn(answer[-1:], (b"", b"\n"))
                self.assertEqual(b"\r\nRetry-After: 1\r\n" in answer, answer != b"")
        self.assertGreater(told[503], 0)
        self.assertEqual(told[503] + told[0], 100)

    def the_slow_are_cut_off(self, slow):
        """They never fall silent, in the head or in the body, and the others are served meanwhile."""
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {self.keys['acme']}\r\nContent-Type: {EVENT}\r\n"
        for number, connection in enumerate(slow):
            connection.sendall((head + ("X-Slow: " if number % 2 else "Content-Length: 50000\r\n\r\n")).encode())
        readers = Readers(slow, until_closed=True)
        deadline = time.monotonic() + PATIENCE_S
        while readers.waiting and time.monotonic() < deadline:
            for connection in readers.waiting:
                try:
                    connection.send(b" ")
                except ConnectionError:
                    pass  # to be read
            readers.read()
            self.post_one()
        statuses = readers.statuses()
        # Some may be cut instead: what they send behind the answer may take it with it.
        self.assertGreaterEqual(statuses[408], len(slow) // 2, statuses)
        self.assertEqual(statuses[408] + statuses[0], len(slow), statuses)

    def test_ten_thousand_connections(self):
        descriptors, resident = self.descriptors(), self.resident_bytes()
        crowd = self.gather()
        self.the_next_are_refused()
        self.all_post(crowd, "first")
        self.post_one()
        of_the_first = self.resident_bytes()
        each = (of_the_first - resident) // len(crowd)
        print(f"{each} bytes a connection", flush=True)
        self.assertLess(each, BYTES_EACH)
        self.the_slow_are_cut_off(crowd[:SLOW])
        for connection in crowd:
            connection.close()
        wait_until(lambda: self.descriptors() <= descriptors, self.daemon.log)
        # Nothing of the first crowd is left: the second finds the room that it had.
        second = self.gather()
        self.all_post(second, "second")
        left = self.resident_bytes() - of_the_first
        print(f"{left // len(second)} bytes more for each of a second crowd", flush=True)
        self.assertLess(left, LEFT_SHARE * each * len(crowd))
        for connection in second:
            connection.close()
        wait_until(lambda: self.descriptors() <= descriptors, self.daemon.log)
        self.assertEqual(self.daemon.stop(), 0, self.daemon.log())
        copies = read_topic(self.topic)
        self.assertEqual(sorted(copies), sorted(self.kept))
        for name, values in copies.items():
            self.assertEqual(len(values), 1, name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
