"""`tally-producer serve` as a process, and answers that are held against its own description of the API."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from confluent_kafka import Consumer, TopicPartition

from support import scene
from support.scene import BIN, end_of, wait_until

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
with open(os.path.join(os.environ["TALLY_TEST_ROOT"], "schemas", "http", "ingest.json"), encoding="utf-8") as api_file:
    API = json.load(api_file)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def event(identity, tenant="acme", **more):
    return {"specversion": "1.0", "id": identity, "source": "/serve_test", "type": "api.request", "subject": tenant,
            "data": {"requests": 1}, **more}


def new_key(*arguments):
    """A key, and its line of the keys file."""
    said = subprocess.run([f"{BIN}/tally-producer", "key", "new", *arguments], check=True, capture_output=True,
                          text=True).stdout.split("\n")
    return said[1].strip(), said[3].strip()


def undocumented(method, path, status, headers, body):
    """None, or what schemas/http/ingest.json does not say of such an answer."""
    known = API["paths"].get(path.partition("?")[0])
    if known is None:
        return None if status == 404 else f"the path {path}"
    operation = known.get(method.lower()) or next(iter(known.values()))
    answer = operation["responses"].get(str(status))
    if answer is None:
        return f"status {status}"
    kind = (headers.get("Content-Type") or "").partition(";")[0]
    if "content" not in answer:
        return "a body" if body else None
    if kind not in answer["content"]:
        return f"type {kind!r}"
    if kind == "application/problem+json":
        problem = json.loads(body)
        schema = API["components"]["schemas"]["Problem"]
        if problem["status"] != status or set(schema["required"]) - set(problem) or \
                set(problem) - set(schema["properties"]):
            return f"the problem {problem}"
        schemas = answer["content"][kind]["schema"].get("allOf")
        if schemas and problem["code"] not in schemas[1]["properties"]["code"]["enum"]:
            return f"the code {problem['code']}"
    return None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Daemon:
    """Ports are chosen by the kernel. `options` go to the command line as they are named: max_batch=2."""

    def __init__(self, topic, *flags, brokers=None, **options):
        self.port_file = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.said = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        given = {"brokers": brokers or scene.BROKERS, "topic": topic, "listen": "127.0.0.1:0",
                 "port-file": self.port_file.name, **options}
        command = [f"{BIN}/tally-producer", "serve", *flags]
        for name, value in given.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self.tls = "tls_cert" in options
        self.unix_socket = options.get("unix_socket")
        self.process = subprocess.Popen(command, stderr=self.said)  # pylint: disable=consider-using-with
        try:
            wait_until(lambda: self.port() or self.process.poll() is not None, self.log)
            if self.process.poll() is not None:
                raise AssertionError(self.log())
        except BaseException:  # nobody else knows its pid yet
            self.kill()
            raise

    def port(self):
        with open(self.port_file.name, encoding="ascii") as file:
            return int(file.read() or "0")

    def log(self):
        with open(self.said.name, encoding="utf-8") as file:
            return file.read()

    def connection(self, unix=False, timeout=60):
        if unix:
            return UnixConnection(self.unix_socket, timeout)
        if self.tls:
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            return http.client.HTTPSConnection("127.0.0.1", self.port(), timeout=timeout, context=trust)
        return http.client.HTTPConnection("127.0.0.1", self.port(), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, connection=None):
        """One request; an answer that the API's description does not have is a failure."""
        own = connection or self.connection()
        own.request(method, path, body, headers or {})
        got = own.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        missing = undocumented(method, path, answer.status, answer.headers, answer.body)
        if missing:
            raise AssertionError(f"{method} {path}: {missing} is not in schemas/http/ingest.json: {answer.body}")
        if connection is None:
            own.close()
        return answer

    def post(self, body, kind=EVENT, key=None, connection=None, **headers):
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        sent = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        return self.ask("POST", "/v1/events", body, sent, connection)

    def get(self, path, key=None):
        return self.ask("GET", path, None, {"Authorization": f"Bearer {key}"} if key else {})

    def raw(self, data, seconds=20):
        """What comes back for these bytes until the daemon closes, or says nothing for a while."""
        with socket.create_connection(("127.0.0.1", self.port()), timeout=seconds) as connection:
            connection.sendall(data)
            got = b""
            try:
                while piece := connection.recv(65536):
                    got += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return got

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=60):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()


def read_topic(topic, brokers=None):
    """All values of the topic, by key; of several copies each."""
    consumer = Consumer({"bootstrap.servers": brokers or scene.BROKERS, "group.id": "serve_test",
                         "enable.auto.commit": False})
    partitions = [TopicPartition(topic, p, 0) for p in range(scene.PARTITIONS)]
    left = sum(end_of(consumer, topic, p) for p in range(scene.PARTITIONS))
    consumer.assign(partitions)
    copies, deadline = {}, time.monotonic() + 60
    while left > 0 and time.monotonic() < deadline:
        message = consumer.poll(10)
        if message is not None and not message.error():
            left -= 1
            copies.setdefault(message.key().decode(), []).append(message.value().decode())
    consumer.close()
    return copies
