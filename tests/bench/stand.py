"""What the benches share: processes watched through /proc, a psql kept open, databases and topics made and dropped,
the aggregator as a process."""

import argparse
import csv
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def tree_cpu_seconds(pid):
    total = cpu_seconds(pid)
    for child in children_of(pid):
        try:
            total += cpu_seconds(child)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended: its time is in the parent's share now
    return total


def bytes_in(path, label):
    """Of a line `label: N kB` below /proc; 0 when the process has ended."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                if line.startswith(f"{label}:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def rss_anon(pid):
    return bytes_in(f"/proc/{pid}/status", "RssAnon")


def huge_pages(pid):
    """What of RssAnon lies in huge pages, in bytes."""
    return bytes_in(f"/proc/{pid}/smaps_rollup", "AnonHugePages")


class PeakMemory(threading.Thread):
    """Peak RssAnon of a process in bytes, looked at ten times a second; the kernel keeps no such peak."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            self.peak = max(self.peak, rss_anon(self.pid))


class Psql:
    """One psql kept open: a query costs no process and no connection."""

    def __init__(self, psql, conninfo):
        self.process = subprocess.Popen([psql, "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def value(self, sql):
        self.process.stdin.write(f"SELECT coalesce(({sql})::text, 'null');\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("psql ended")
        return line.strip()

    def execute(self, sql):
        """Waits for a statement that gives no rows."""
        self.process.stdin.write(f"{sql};\n")
        self.value("1")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def parse_arguments(numbers, choices=None):
    """What stand.sh's run_bench says, and the options of one bench."""
    parser = argparse.ArgumentParser()
    for name in ("bin", "dir", "root", "psql", "conninfo", "brokers", "json"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("postgres-pid", "kafka-pid", *numbers):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name, values in (choices or {}).items():
        parser.add_argument(f"--{name}", choices=values, required=True)
    return parser.parse_args()


def run_sql(arguments, conninfo, *statements):
    command = [arguments.psql, "-Xq", "-v", "ON_ERROR_STOP=1", conninfo]
    for statement in statements:
        command += ["-c", statement]
    subprocess.run(command, check=True)


def conninfo_of(arguments, name):
    return arguments.conninfo.replace("dbname=tally", f"dbname={name}")


def admin(arguments, conninfo, *command):
    subprocess.run([f"{arguments.bin}/tally-admin", *command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env={**os.environ, "TALLY_DATABASE": conninfo})


def fresh_database(arguments, name):
    """An empty database with tally's tables and the stream's catalogue."""
    run_sql(arguments, arguments.conninfo, f"CREATE DATABASE {name}")
    conninfo = conninfo_of(arguments, name)
    admin(arguments, conninfo, "migrate")
    admin(arguments, conninfo, "apply", f"{arguments.dir}/bench-catalogue.json")
    return conninfo


def drop_database(arguments, name):
    run_sql(arguments, arguments.conninfo, f"DROP DATABASE {name} WITH (FORCE)")


def create_topic(arguments, name, *options):
    """`options`: --partitions N, where it is not to have as many as the file says."""
    subprocess.run([sys.executable, f"{arguments.root}/tests/support/stack/create_topic.py", arguments.brokers,
                    f"{arguments.root}/schemas/topics/usage.events.json", name, *options],
                   check=True, stdout=subprocess.DEVNULL)


def partitions_of(arguments):
    with open(f"{arguments.root}/schemas/topics/usage.events.json", encoding="utf-8") as file:
        return json.load(file)["partitions"]


def delete_topic(arguments, name):
    from confluent_kafka.admin import AdminClient  # here: self_test.py runs without Kafka's client
    client = AdminClient({"bootstrap.servers": arguments.brokers})
    client.delete_topics([name])[name].result(30)


def write_events(arguments, topic, records, *options, folder=None):
    """The generator's stream; `folder` gets bench-catalogue.json, expected.json and what `options` ask for."""
    folder = folder or arguments.dir
    os.makedirs(folder, exist_ok=True)
    subprocess.run([f"{arguments.bin}/tally-generator", "bench", "--records", str(records), "--brokers",
                    arguments.brokers, "--topic", topic, "--out", folder, *options], check=True,
                   stdout=subprocess.DEVNULL, stderr=None if sys.stderr.isatty() else subprocess.DEVNULL)


def make_catalogue(arguments):
    """bench-catalogue.json, for databases that are made before their events."""
    create_topic(arguments, "scratch")
    write_events(arguments, "scratch", 1)


def expected_totals(arguments):
    """What the generator says of its stream: expected.json, and `windows`, the quantity and events of each (tenant,
    meter, start of the hour in seconds since 1970)."""
    with open(f"{arguments.dir}/expected.json", encoding="utf-8") as file:
        expected = json.load(file)
    with open(f"{arguments.dir}/expected_windows.csv", encoding="ascii", newline="") as file:
        windows = {(row["tenant"], row["meter"], int(row["start"])): (Decimal(row["quantity"]), int(row["events"]))
                   for row in csv.DictReader(file)}
    return {**expected, "windows": windows}


def logged(log_path, event):
    """The lines of one event in a log of JSON lines, as dictionaries."""
    found = []
    with open(log_path, encoding="utf-8") as file:
        for line in file:
            if f'"{event}"' in line and line.endswith("\n"):
                found.append(json.loads(line))
    return found


def logged_at(line):
    """Seconds since 1970, to the millisecond."""
    return datetime.datetime.fromisoformat(line["time"]).timestamp()


def holdings(log_path):
    """Of a log so far: (moment, partitions held from then on), one for each that was acquired or revoked."""
    moves = [(logged_at(line), line["event"], line["partition"])
             for event in ("partition_acquired", "partition_revoked") for line in logged(log_path, event)]
    held, found = set(), []
    for moment, event, partition in sorted(moves):
        held = held | {partition} if event == "partition_acquired" else held - {partition}
        found.append((moment, held))
    return found


def first_record_times(log_path):
    """When each worker was given its first record, in seconds since 1970."""
    return [int(line["at_us"]) / 1e6 for line in logged(log_path, "first_record")]


def records_of(samples):
    """Records of the log in (labels, value) of tally_aggregator_records_total. What was received is in a class a second
    time; skipped and lost ones were never read."""
    signs = {"received": -1, "skipped": 0, "lost": 0}
    return sum(int(value) * signs.get(labels.partition('class="')[2].partition('"')[0], 1) for labels, value in samples)


class Aggregator:
    """One process of it, watched. Its group and its database are called `name`, and so is its topic unless given."""

    def __init__(self, arguments, name, *options, topic=None, log_name=None):
        label = log_name or name
        self.log_path = f"{arguments.dir}/log/{label}.log"
        self.port_file = f"{arguments.dir}/{label}.port"
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.started = time.time()
            self.process = subprocess.Popen(
                [f"{arguments.bin}/tally-aggregator", "--brokers", arguments.brokers, "--topic", topic or name,
                 "--group", name, "--database", conninfo_of(arguments, name), "--listen", "127.0.0.1:0",
                 "--port-file", self.port_file, *options],
                stderr=log, env={**os.environ, "TALLY_LOG": "json"})
        self.memory = PeakMemory(self.process.pid)

    def wait(self, condition):
        wait_until(self.process, self.log_path, condition)

    def get(self, path):
        """The text of a page of its listener, or None when it does not answer with 200."""
        try:
            with open(self.port_file, encoding="ascii") as file:
                port = int(file.read() or 0)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return reply.read().decode()
        except (FileNotFoundError, urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def samples(self, metric):
        """Of /metrics now: (labels, value) of each series."""
        page = self.get("/metrics")
        if page is None:
            raise RuntimeError(f"/metrics does not answer; see {self.log_path}")
        found = [(line[len(metric) + 1:line.rindex("}")], float(line.rpartition(" ")[2]))
                 for line in page.splitlines() if line.startswith(f"{metric}{{")]
        if not found:
            raise RuntimeError(f"/metrics has no {metric}: the bench must follow its new name")
        return found

    def dedup_bytes(self):
        """What it says its dedup memory takes, all workers together."""
        return sum(value for _, value in self.samples("tally_aggregator_memory_bytes"))

    def consumed(self):
        """Records that it says it committed, all workers together."""
        return records_of(self.samples("tally_aggregator_records_total"))

    def holds(self, partitions):
        """Ready, and its workers hold as many partitions."""
        acquired = logged(self.log_path, "partition_acquired")
        revoked = logged(self.log_path, "partition_revoked")
        return len(acquired) - len(revoked) == partitions and self.get("/readyz") is not None

    def peak_mb(self):
        return self.memory.peak / 1e6

    def stop(self, how=signal.SIGTERM):
        self.memory.done.set()
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)  # it may stand still between two turns
            self.process.wait(60)


def bytes_below(folder):
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(at, name))
            except FileNotFoundError:
                pass  # removed meanwhile
    return total


def wait_until(process, log_path, condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the aggregator did not come so far; see {log_path}")
        time.sleep(0.02)


def rows_of(psql, table, start, condition="true"):
    """Quantity and events of each (tenant, meter, start), all dimensions together, as expected_totals has them."""
    text = psql.value(
        f"SELECT string_agg(concat_ws(' ', tenant, meter, start, quantity, events), ',') FROM (SELECT tenant, meter, "
        f"extract(epoch FROM {start})::bigint AS start, sum(quantity) AS quantity, sum(events) AS events "
        f"FROM tally.{table} WHERE {condition} GROUP BY tenant, meter, {start}) rows")
    if text == "null":
        return {}
    return {(tenant, meter, int(when)): (Decimal(quantity), int(events))
            for tenant, meter, when, quantity, events in (row.split(" ") for row in text.split(","))}


def summed(windows, span):
    """`windows` by the days or months of UTC that they lie in."""
    first_of = {"day": {"hour": 0}, "month": {"day": 1, "hour": 0}}[span]
    starts, out = {}, {}
    for (tenant, meter, start), (quantity, events) in windows.items():
        if start not in starts:
            moment = datetime.datetime.fromtimestamp(start, datetime.timezone.utc)
            starts[start] = int(moment.replace(**first_of).timestamp())
        key = (tenant, meter, starts[start])
        before = out.get(key, (0, 0))
        out[key] = (before[0] + quantity, before[1] + events)
    return out


def rows_differ(what, found, wanted):
    """The first row that is not the generator's, or None."""
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            (tenant, meter, start), none = key, ("no quantity", "no")
            when = datetime.datetime.fromtimestamp(start, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
            here, there = found.get(key, none), wanted.get(key, none)
            return (f"{what} of {tenant}, {meter}, {when}: {here[0]} in {here[1]} events, the generator's "
                    f"{there[0]} in {there[1]}")
    return None


def check_totals(psql, expected):
    """What differs from the generator's totals, or None: the ledger's classes, each tenant's and meter's hours, days and
    months."""
    classes = {**expected["classes"], "consumed": expected["records"]}
    ledger = psql.value(f"SELECT concat_ws(' ', {', '.join(f'sum({name})' for name in classes)}) FROM tally.ledger")
    wanted = " ".join(str(count) for count in classes.values())
    if ledger != wanted:
        return f"ledger: {', '.join(classes)} are {ledger}, the generator's {wanted}"
    return (rows_differ("window", rows_of(psql, "usage_window", "window_start"), expected["windows"])
            or next(filter(None, (rows_differ(f"total of the {span}",
                                              rows_of(psql, "usage_total", "span_start", f"span = '{span}'"),
                                              summed(expected["windows"], span)) for span in ("day", "month"))), None))


def write_json(arguments, content):
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
