"""`tally-producer serve` with a real broker: what was answered 202 is in the topic, whatever happened."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support import scene  # noqa: E402
from support.daemon import BATCH, EVENT, LINES, Daemon, event, new_key, read_topic  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import BIN, create_topic, use_stack, wait_until  # noqa: E402
from support.secure import certificate  # noqa: E402


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_broker())

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tally-serve-")
        self.addCleanup(shutil.rmtree, self.root)
        self.topic = f"serve.{self.id().rsplit('.', 1)[1]}"
        create_topic(self.topic)

    def daemon(self, *flags, **options):
        started = Daemon(self.topic, *flags, **options)
        self.addCleanup(started.kill)
        return started

    def write(self, name, text):
        path = f"{self.root}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def certificate(self, name):
        cert, key = certificate(self.root, "serve", name)
        return {"tls_cert": cert, "tls_key": key}

    def test_every_kind_of_body_arrives(self):
        daemon = self.daemon()
        exact = '{ "specversion":"1.0", "id":"one","source":"/s","type":"t","subject":"acme",\n "data":{"n": 0.10 } }'
        keep = daemon.connection()
        self.assertEqual(daemon.post(exact, connection=keep).status, 202)
        self.assertEqual(daemon.post([event("two"), event("three")], BATCH, connection=keep).status, 202)
        lines = "\n".join(json.dumps(event(name)) for name in ("four", "five"))
        self.assertEqual(daemon.post(lines, LINES, connection=keep).status, 202)
        self.assertEqual(daemon.post('{"n":1.50}', "application/json", ce_specversion="1.0", ce_id="six", ce_source="/s",
                                     ce_type="t", ce_subject="acme", ce_time="2026-11-22T08:00:00Z").status, 202)
        curl = subprocess.run(
            ["curl", "-sS", "-o", "-", "-w", "%{http_code}", "-X", "POST", "-H", f"Content-Type: {EVENT}", "-d",
             json.dumps(event("seven", time="2026-11-22T08:00:00Z")),
             f"http://127.0.0.1:{daemon.port()}/v1/events"], check=True, capture_output=True, text=True)
        self.assertEqual(curl.stdout, "202")
        copies = read_topic(self.topic)
        self.assertEqual(sorted(copies), ["five", "four", "one", "seven", "six", "three", "two"])
        self.assertEqual({len(values) for values in copies.values()}, {1})
        stamped = copies["one"][0]
        self.assertRegex(stamped, r'^\{"time":"20\d\d-[^"]*Z", "specversion":"1.0"')
        self.assertTrue(stamped.endswith(exact[1:]), stamped)
        self.assertEqual(json.loads(copies["six"][0])["time"], "2026-11-22T08:00:00Z")
        self.assertIn('"data":{"n":1.50}', copies["six"][0])

    def test_health_metrics_and_the_description(self):
        daemon = self.daemon()
        self.assertEqual(daemon.get("/healthz").json(), {"alive": True})
        wait_until(lambda: daemon.get("/readyz").status == 200, lambda: daemon.get("/readyz").body)
        self.assertEqual(daemon.get("/openapi.json").json()["openapi"], "3.1.0")
        daemon.post([event("a"), event("b")], BATCH)
        daemon.post([event("a"), {}], BATCH)
        metrics = daemon.get("/metrics").body.decode()
        self.assertIn('tally_producer_http_events_total{end="kept"} 2\n', metrics)
        self.assertIn('tally_producer_http_events_total{end="invalid"} 2\n', metrics)
        self.assertIn('tally_producer_http_answers_total{status="422"} 1\n', metrics)
        self.assertEqual(daemon.get("/elsewhere").status, 404)
        self.assertEqual(daemon.ask("DELETE", "/healthz").status, 405)

    def test_a_topic_that_is_not_there_is_no_readiness(self):
        daemon = Daemon("serve.no_such_topic")
        self.addCleanup(daemon.kill)
        wait_until(lambda: daemon.get("/readyz").status == 503, "not ready")
        self.assertIn("serve.no_such_topic", daemon.get("/readyz").body.decode())

    def test_a_topic_that_is_not_there_ends_the_daemon_with_its_reason(self):
        """Not with a signal (librdkafka frees headers twice where no partition is found), and not never: it is started anew."""
        daemon = Daemon("serve.never_made", "--kafka.topic.metadata.propagation.max.ms=500", delivery_timeout_ms=10_000)
        self.addCleanup(daemon.kill)
        batch = [event(f"n-{n}") for n in range(50)]
        answers = []

        def ended():
            if daemon.process.poll() is not None:
                return True
            try:
                answers.append(daemon.post(batch, BATCH).status)
            except OSError:
                pass  # it ends
            return False
        wait_until(ended, daemon.log)
        self.assertEqual(daemon.process.returncode, 1, daemon.log())
        self.assertIn("serve.never_made", daemon.log())
        self.assertTrue(answers and all(status == 503 for status in answers), answers)

    def test_the_broker_is_killed_and_a_retry_counts_once(self):
        daemon = self.daemon(delivery_timeout_ms=3000)
        self.assertEqual(daemon.post(event("before")).status, 202)
        self.stack.kill_kafka()
        try:
            batch = [event(f"r-{n}") for n in range(20)]
            answer = daemon.post(batch, BATCH)
            self.assertEqual(answer.status, 503)
            said = answer.json()
            self.assertEqual(said["code"], "not_all_kept")
            self.assertEqual(sorted(said["not_kept"] + said["unknown"]), list(range(20)))
            wait_until(lambda: daemon.get("/readyz").status == 503, "not ready without a broker")
        finally:
            self.stack.start_kafka()
        wait_until(lambda: daemon.post(batch, BATCH).status == 202, "the retry is kept")
        # Copies have one identity each: the aggregator counts it once (P1). None is missing or changed.
        copies = read_topic(self.topic)
        for sent in batch:
            self.assertEqual({json.loads(value)["id"] for value in copies[sent["id"]]}, {sent["id"]})
        self.assertEqual(set(copies), {"before"} | {sent["id"] for sent in batch})

    def test_spooled_and_killed_every_202_is_in_the_topic(self):
        kept = []
        for life in range(4):
            daemon = self.daemon(level="spooled", spool_folder=f"{self.root}/spool", brokers="127.0.0.1:9")
            sent = [0]

            def send(daemon=daemon, life=life, sent=sent):
                connection = daemon.connection(timeout=10)
                try:
                    for number in range(100_000):
                        names = [f"{life}-{number}-{part}" for part in "ab"]
                        if daemon.post([event(name) for name in names], BATCH, connection=connection).status == 202:
                            kept.extend(names)
                            sent[0] += 1
                except OSError:
                    pass
                except Exception as problem:  # pylint: disable=broad-except
                    if daemon.process.poll() is None:
                        raise problem

            thread = threading.Thread(target=send)
            thread.start()
            wait_until(lambda sent=sent: sent[0] > 50, daemon.log)
            daemon.kill()
            thread.join()
        daemon = self.daemon(level="spooled", spool_folder=f"{self.root}/spool")
        wait_until(lambda: "tally_producer_spool_waiting_records 0\n" in daemon.get("/metrics").body.decode(),
                   lambda: daemon.get("/metrics").body.decode())
        self.assertEqual(daemon.stop(), 0)
        copies = read_topic(self.topic)
        self.assertEqual([name for name in kept if name not in copies], [])

    def test_sigterm_answers_what_was_begun(self):
        daemon = self.daemon(linger_ms=900)
        answers = []
        threads = [threading.Thread(target=lambda n=n: answers.append(daemon.post(event(f"d-{n}")).status))
                   for n in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: "tally_producer_http_events_in_flight 8\n" in daemon.get("/metrics").body.decode(),
                   "all are in flight")
        self.assertEqual(daemon.stop(), 0)
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [202] * 8)
        self.assertEqual(len(read_topic(self.topic)), 8)

    def test_keys_are_read_anew(self):
        bound, bound_line = new_key("--tenant", "acme")
        free, free_line = new_key("--tenant", "*")
        keys = self.write("keys", bound_line + "\n")
        daemon = self.daemon(keys_file=keys)
        self.assertEqual(daemon.post(event("a")).status, 401)
        self.assertEqual(daemon.post(event("a"), key=free).status, 401)
        self.assertEqual(daemon.post(event("a"), key=bound).status, 202)
        answer = daemon.post([event("b"), event("c", "other")], BATCH, key=bound)
        self.assertEqual((answer.status, answer.json()["index"]), (403, 1))
        self.assertEqual(daemon.post("{}", "application/json", key=bound, ce_specversion="1.0", ce_id="d", ce_source="/",
                                     ce_type="t", ce_subject="other").status, 403)
        self.assertEqual(daemon.get("/metrics", bound).status, 401)
        self.write("keys", free_line + "\n")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.post(event("e", "other"), key=free).status == 202, daemon.log)
        self.assertEqual(daemon.post(event("f"), key=bound).status, 401)
        self.assertEqual(daemon.get("/metrics", free).status, 200)
        self.write("keys", "nonsense\n")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "the keys stay as they were" in daemon.log(), daemon.log)
        self.assertEqual(daemon.post(event("g"), key=free).status, 202)
        self.assertEqual(sorted(read_topic(self.topic)), ["a", "e", "g"])

    def test_the_head_is_judged_before_the_body(self):
        key, line = new_key("--tenant", "*")
        other, other_line = new_key("--tenant", "*")
        daemon = self.daemon(keys_file=self.write("keys", f"{line}\n{other_line}\n"), max_mb_receiving=8)
        length = b"Content-Length: 8388607\r\n"
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n"
        events = head % b"/v1/events"
        with_key = b"X-API-Key: " + key.encode() + b"\r\n"
        # No byte of a body is sent.
        self.assertIn(b" 401 ", daemon.raw(events + length + b"\r\n"))
        self.assertIn(b" 404 ", daemon.raw(head % b"/v2" + length + b"\r\n"))
        self.assertIn(b" 405 ", daemon.raw(events.replace(b"POST", b"PUT") + length + b"\r\n"))
        self.assertIn(b" 415 ", daemon.raw(events.replace(b"events+", b"") + with_key + length + b"\r\n"))
        for path in (b"/openapi.json", b"/healthz", b"/readyz", b"/metrics"):
            self.assertIn(b" 413 ", daemon.raw(b"GET %s HTTP/1.1\r\nHost: x\r\n" % path + length + b"\r\n"))
        with socket.create_connection(("127.0.0.1", daemon.port()), timeout=20) as first:
            first.sendall(events + with_key + length + b"Expect: 100-continue\r\n\r\n")
            self.assertTrue(first.recv(4096).startswith(b"HTTP/1.1 100 "))
            refused = daemon.raw(events + with_key + length + b"\r\n")
            self.assertIn(b" 429 ", refused)
            self.assertIn(b"Retry-After: 1\r\n", refused)
            self.assertIn(b'"code":"too_many_in_flight"', refused)
            refused = daemon.raw(events + with_key.replace(key.encode(), other.encode()) + length + b"\r\n")
            self.assertIn(b" 503 ", refused)
            self.assertIn(b"Retry-After: 1\r\n", refused)
            self.assertIn(b'"code":"overloaded"', refused)
        wait_until(lambda: daemon.post("x" * 8_388_600, key=key).status == 422, daemon.log)

    def test_tls_and_a_new_certificate(self):
        daemon = self.daemon(**self.certificate("first"))
        self.assertEqual(daemon.post(event("a")).status, 202)

        def shown():
            connection = daemon.connection()
            connection.connect()
            certificate = connection.sock.getpeercert(binary_form=True)
            connection.close()
            return certificate
        first = shown()
        self.certificate("second")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: shown() != first, daemon.log)
        self.assertEqual(daemon.post(event("b")).status, 202)

    def test_a_unix_socket_alone(self):
        path = f"{self.root}/socket"
        with self.assertRaisesRegex(AssertionError, "unix-socket"):
            Daemon(self.topic, listen="none")
        both = self.daemon(unix_socket=path)
        self.assertEqual(both.post(event("a"), connection=both.connection(unix=True)).status, 202)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        self.assertEqual(both.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_settings_that_contradict_each_other(self):
        bad = self.write("bad", "nonsense\n")
        for flags, words in (
                (["--listen", "0.0.0.0:0"], "keys-file or listen-token"),
                (["--listen", "foo"], "it takes HOST:PORT"),
                (["--listen", "foo:80", "--insecure"], "give a numeric IP address or localhost"),
                (["--listen", "127.0.0.1:99999"], "it takes HOST:PORT"),
                (["--level", "spooled"], "spool-folder"),
                (["--level", "best"], "acked or spooled"),
                (["--tls-cert", "x"], "tls-key"),
                (["--listen", "127.0.0.1:0", "--tls-cert", bad, "--tls-key", bad], "cannot use the certificate"),
                (["--max-batch", "20", "--max-key-events", "10"], "max-key-events"),
                (["--max-body-bytes", "2000000", "--max-mb-receiving", "1"], "max-mb-receiving"),
                (["--max-events-in-flight", "10"], "max-events-in-flight"),
                (["--kafka.acks=1"], "acks=1"),
                (["--keys-file", bad], f"{bad}:1: it must read"),
                (["--keys-file", f"{self.root}/none"], "cannot be read")):
            done = subprocess.run([f"{BIN}/tally-producer", "serve", *flags], capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertEqual(done.returncode, 2, (flags, done.stderr))
            self.assertIn(words, done.stderr)

    def test_a_keys_file_without_keys_is_told(self):
        daemon = self.daemon(keys_file=self.write("keys", "# nobody yet\n"))
        self.assertEqual(daemon.post(event("a")).status, 401)
        self.assertIn("the keys file holds no key", daemon.log())

    def test_malformed_requests(self):
        daemon = self.daemon(read_timeout_ms=500, max_body_bytes=2048, max_mb_in_flight=1)
        head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n"
        one = json.dumps(event("smuggled")).encode()
        chunked = b"Transfer-Encoding: chunked\r\n"
        for request in (
                head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + one,
                head + b"Content-Length: 4\r\n" + chunked + b"\r\n0\r\n\r\nPOST /v1/events HTTP/1.1\r\n\r\n",
                head + b"Content-Length: -1\r\n\r\n" + one,
                head + b"Transfer-Encoding: x, chunked, y\r\n\r\n0\r\n\r\n",
                b"GET\r\n\r\n",
                b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type : a\r\nContent-Length: 0\r\n\r\n"):
            answer = daemon.raw(request)
            self.assertRegex(answer, rb"^HTTP/1.1 (4\d\d|501) ", request)
            self.assertNotIn(b" 202 ", answer)
            self.assertIn(b"application/problem+json", answer)
        self.assertIn(b" 413 ", daemon.raw(head + b"Content-Length: 9999999\r\n\r\n"))
        self.assertIn(b" 431 ", daemon.raw(head + b"X: " + b"y" * 40_000 + b"\r\n\r\n"))
        # Slow: the head, then the body, byte by byte never.
        self.assertIn(b" 408 ", daemon.raw(head))
        self.assertIn(b" 408 ", daemon.raw(head + b"Content-Length: 20\r\n\r\n{"))
        for body in (b"", one[:-1], b'{"a":' * 300, b"[" * 2000, b"\x00", b"{}" * 500):
            self.assertIn(daemon.post(body).status, (400, 422))
        self.assertEqual(daemon.post("x" * 4096).status, 413)
        self.assertEqual(daemon.post(event("fine")).status, 202)
        self.assertEqual(sorted(read_topic(self.topic)), ["fine"])
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
