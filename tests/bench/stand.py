"""What the benches share: processes watched through /proc, a psql kept open, databases made and dropped."""

import json
import os
import subprocess
import threading
import time
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


class PeakMemory(threading.Thread):
    """Peak RssAnon of a process in bytes, looked at ten times a second; the kernel keeps no such peak."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            try:
                with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
                    for line in file:
                        if line.startswith("RssAnon:"):
                            self.peak = max(self.peak, int(line.split()[1]) * 1024)
            except (FileNotFoundError, ProcessLookupError):
                return


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

    def close(self):
        self.process.stdin.close()
        self.process.wait()


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


def logged(log_path, event):
    """The lines of one event in a log of JSON lines, as dictionaries."""
    found = []
    with open(log_path, encoding="utf-8") as file:
        for line in file:
            if f'"{event}"' in line and line.endswith("\n"):
                found.append(json.loads(line))
    return found


def first_record_times(log_path):
    """When each worker was given its first record, in seconds since 1970."""
    return [int(line["at_us"]) / 1e6 for line in logged(log_path, "first_record")]


def wait_until(process, log_path, condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the aggregator did not come so far; see {log_path}")
        time.sleep(0.02)


def check_totals(psql, expected):
    """What differs from the generator's totals, or None."""
    ledger = psql.value("SELECT sum(counted) || ' ' || sum(duplicate) || ' ' || sum(consumed) FROM tally.ledger")
    wanted = f"{expected['classes']['counted']} {expected['classes']['duplicate']} {expected['records']}"
    if ledger != wanted:
        return f"ledger: counted, duplicate, consumed are {ledger}, the generator's {wanted}"
    for meter, planned in expected["meters"].items():
        total = psql.value(f"SELECT sum(quantity) FROM tally.usage_window WHERE meter = '{meter}'")
        if total == "null" or Decimal(total) != Decimal(planned["total"]):
            return f"meter {meter}: {total}, the generator's {planned['total']}"
    return None


def print_table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  " + "  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]))
