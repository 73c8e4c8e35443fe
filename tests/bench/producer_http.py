"""The HTTP daemon beside a bare Beast server that answers 202 and no more, under the same load in the same run.

wrk drives both: keep-alive connections, POST /v1/events, every id its own (producer/events.lua). Saturated: as fast as
answers come. Half load: each connection waits before a request, so that the rate is half of what was measured saturated;
wrk then tells how long answers took from the moment a request was sent. The broker's own count of records must not be
below what was answered 202. A closed loop leaves out of its latencies what would have been sent while it waited for an
answer, so at least LEAST_OF_HALF of half the rate must have been sent. The load, the daemon and the broker share the
machine's cores, so the broker's compiler is given its time first: a cold broker costs ten times a warm one.
"""

import json
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

from figures import Figure, print_table
from producer_library import records_in
from stand import cpu_seconds, create_topic, delete_topic

THREADS = 2
CONNECTIONS = 512
BATCH = 100
BATCH_CONNECTIONS = 32
SPOOL_PATIENCE_S = 120
WARM_UP = 6  # times the seconds of a part
LEAST_OF_HALF = 0.95  # of half the saturated rate: below it half load was not tried
ANSWER_MS = 8  # at half load, on average: what is more takes from its rate
LUA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "producer", "events.lua")


class Server:
    """A process that writes the port it listens on into a file."""

    def __init__(self, *command):
        self.file = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.process = subprocess.Popen([*command, "--port-file", self.file.name],  # pylint: disable=consider-using-with
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not (port := open(self.file.name, encoding="ascii").read().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen")
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port}"

    def metric(self, line):
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            for text in answer.read().decode().split("\n"):
                if text.startswith(line + " "):
                    return float(text.rpartition(" ")[2])
        raise RuntimeError(f"no metric {line}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)


class Bare:
    """bare_http, which says its port and serves until its input ends."""

    def __init__(self, arguments):
        self.process = subprocess.Popen([f"{arguments.bin}/bare_http", "bare", str(THREADS)],  # pylint: disable=consider-using-with
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def daemon(arguments, topic, *more):
    return Server(f"{arguments.bin}/tally-producer", "serve", "--brokers", arguments.brokers, "--topic", topic, "--listen",
                  "127.0.0.1:0", "--threads", str(THREADS), *more)


class Cpu:
    """CPU seconds of the three that share the cores, since it was made."""

    def __init__(self, server, broker_pid):
        self.look = lambda: (cpu_seconds(server.process.pid), cpu_seconds(broker_pid), self.of_load())
        self.before = self.look()

    @staticmethod
    def of_load():
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime

    def us_per(self, requests):
        spent = [(now - before) / max(requests, 1) * 1e6 for before, now in zip(self.before, self.look())]
        return dict(zip(("cpu_us_per_request", "broker_cpu_us_per_request", "load_cpu_us_per_request"), spent))


def wrk(arguments, server, seconds, batch, run, connections, wait_ms=0):
    environment = {**os.environ, "WAIT_MS": str(wait_ms)} if wait_ms else os.environ
    cpu = Cpu(server, arguments.kafka_pid)
    said = subprocess.run(
        ["wrk", f"-t{THREADS}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", LUA, server.url, "--", str(batch), run],
        check=True, capture_output=True, text=True, env=environment).stdout
    found = json.loads(next(line for line in said.split("\n") if line.startswith("JSON "))[5:])
    found["requests_per_second"] = found["requests"] / found["seconds"]
    found.update(cpu.us_per(found["requests"]))
    return found


def ack_latency(server):
    """Mean milliseconds from a checked request to its last event's ack, as the daemon measured them."""
    total = server.metric("tally_producer_http_keep_seconds_sum")
    return total / max(server.metric("tally_producer_http_keep_seconds_count"), 1) * 1e3


def await_records(arguments, topic, wanted):
    """Until the spool has sent on what it kept, or the time is up."""
    deadline = time.monotonic() + SPOOL_PATIENCE_S
    while records_in(arguments, topic) < wanted and time.monotonic() < deadline:
        time.sleep(0.2)


def problems_of_part(topic, found, kept, records):
    """What is wrong with what one part said: `kept` were answered 202, `records` are in the broker."""
    if records < kept:
        yield f"{topic}: {kept:.0f} events were kept, the broker has {records}"
    if found["bad_status"] or found["socket_errors"]:
        yield f"{topic}: {found['bad_status']} answers were not 202, {found['socket_errors']} never came"


def half_rate(one):
    return one["acked"]["requests_per_second"] / 2


def wait_ms_of_half(one):
    """A closed loop: the rate is CONNECTIONS over (waiting + answering)."""
    return max(round(CONNECTIONS / half_rate(one) * 1e3 - ANSWER_MS), 1)


def problems_of_half(number, one):
    of_half = one["half"]["requests_per_second"] / half_rate(one)
    if of_half < LEAST_OF_HALF:
        yield f"round {number}: {of_half:.2f} of half load was sent: its latencies leave out the waiting"


def measure_http(arguments):
    problems, rounds = [], []
    spool = tempfile.mkdtemp(prefix="tally-bench-spool-", dir=arguments.dir)

    def served(name, number, measure, *more):
        """What `measure` finds of a daemon with a topic of its own; and whether the broker has what was answered 202."""
        topic = f"http-{name}-{number}"
        create_topic(arguments, topic)
        server = daemon(arguments, topic, *more)
        try:
            found = measure(server)
            found["keep_ms"] = ack_latency(server)
            kept = server.metric('tally_producer_http_events_total{end="kept"}')
            if name == "spooled":
                await_records(arguments, topic, kept)
            server.stop()
            records = records_in(arguments, topic)
        finally:
            if server.process.poll() is None:
                server.stop()
        delete_topic(arguments, topic)
        problems.extend(problems_of_part(topic, found, kept, records))
        return found

    def bare(number):
        server = Bare(arguments)
        try:
            return wrk(arguments, server, arguments.seconds, 1, f"bare{number}", CONNECTIONS)
        finally:
            server.stop()

    print(f"==> http: {WARM_UP * arguments.seconds} s for the broker to warm up", flush=True)
    served("warm", 0, lambda s: wrk(arguments, s, WARM_UP * arguments.seconds, BATCH, "w", BATCH_CONNECTIONS))
    spooled = ("--level", "spooled", "--spool-mb", "32000", "--spool-folder")
    for number in range(1, arguments.rounds + 1):
        print(f"==> http: round {number} of {arguments.rounds}, {arguments.seconds} s each", flush=True)
        one = {
            "bare": bare(number),
            "acked": served("acked", number, lambda s: wrk(arguments, s, arguments.seconds, 1, "a", CONNECTIONS)),
            "spooled": served("spooled", number, lambda s: wrk(arguments, s, arguments.seconds, 1, "s", CONNECTIONS), *spooled,
                              f"{spool}/{number}"),
            "batch": served("batch", number, lambda s: wrk(arguments, s, arguments.seconds, BATCH, "b", BATCH_CONNECTIONS)),
        }
        wait_ms = wait_ms_of_half(one)
        one["half"] = served("half", number, lambda s: wrk(arguments, s, arguments.seconds, 1, "h", CONNECTIONS, wait_ms))
        problems += problems_of_half(number, one)
        rounds.append(one)
    return figures_of(rounds), {"rounds": rounds}, problems


def figures_of(rounds):
    def median(of):
        return statistics.median(of(one) for one in rounds)

    def share(name):
        return median(lambda one: one[name]["requests_per_second"] / one["bare"]["requests_per_second"])

    rows = [("round and part", "requests/s", "CPU us/request", "broker's", "wrk's", "keep ms", "p50 ms", "p99 ms")]
    for number, one in enumerate(rounds, 1):
        for name, found in one.items():
            rows.append((f"{number} {name}", f"{found['requests_per_second']:,.0f}", f"{found['cpu_us_per_request']:.1f}",
                         f"{found['broker_cpu_us_per_request']:.1f}", f"{found['load_cpu_us_per_request']:.1f}",
                         f"{found['keep_ms']:.2f}" if "keep_ms" in found else "", f"{found['p50_ms']:.2f}",
                         f"{found['p99_ms']:.2f}"))
    print_table(rows)
    print("\n  keep ms: from a checked request to its last event's end, the mean: the broker's ack and what lingered before.")
    return [
        Figure("serve acked, of a bare Beast", 0.35, share("acked"), "", 2, least=True),
        Figure("serve spooled, of a bare Beast", 0.5, share("spooled"), "", 2, least=True),
        Figure(f"serve acked, batches of {BATCH}", 300_000, median(lambda one: one["batch"]["requests_per_second"] * BATCH),
               "events/s", 0, least=True),
        Figure("serve acked at half load, p99", 15, median(lambda one: one["half"]["p99_ms"]), "ms", 1),
    ]
