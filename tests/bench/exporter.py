"""Measures how fast totals leave for Stripe: planning, sending against Stripe's rate limit, memory.

Called by exporter.sh. Each of the tenants is a customer with a day of hourly windows of three meters, so that each has three
rows to send. The sandbox answers after 80 ms and lets through 1,000 meter events in any second, as Stripe does for a live
account; who sends more is refused with 429. Planning counts from the start of the process to its first request: it
holds the connection, the totals of all, and the commit of the rows. The rate is that of the requests that Stripe took,
by the exporter's own account of its attempts; what the sandbox's oracle counted is held against the sums of the windows.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal

from figures import Figure, conclude, judge, print_table
from stand import (PeakMemory, Psql, admin, conninfo_of, cpu_seconds, drop_database, parse_arguments, run_sql,
                   write_json)

HOURS = 24
METERS = ("calls", "tokens", "megabytes")
JUDGED_TENANTS = 10_000
RATE_LIMIT = 1_000  # meter events in any second (STRIPE's live accounts; the sandbox's rate_limits `live`)
ANSWER_MS = 80
SETTINGS = {"answer_delay_ms": ANSWER_MS, "rate_limits": "live", "apply_delay_max_s": 0}

FILL = """
INSERT INTO tally.usage_window (tenant, meter, window_start, window_end, dimensions, quantity, events)
SELECT 'tenant_' || lpad(t::text, 5, '0'), m.slug, h, h + interval '1 hour', '{{}}', t + extract(hour FROM h) + 0.125, 1
  FROM generate_series(date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
                       date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '{hours} hours', '1 hour') h,
       generate_series(0, {tenants} - 1) t, tally.meter m
 WHERE h < date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '{hours} hours'
"""
ATTEMPTS = ("SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE outcome = 'delivered'), "
            "count(*) FILTER (WHERE http_status = 429), extract(epoch FROM min(started_at)), "
            "extract(epoch FROM max(started_at))) FROM tally.export_attempt")


class Sandbox:
    """The local Stripe, asked over HTTP."""

    def __init__(self, arguments):
        port_file = f"{arguments.dir}/sandbox.port"
        self.process = subprocess.Popen(
            [f"{arguments.bin}/tally-stripe-sandbox", "--listen", "127.0.0.1:0", "--port-file", port_file,
             "--settings", json.dumps(SETTINGS)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not (os.path.exists(port_file) and os.path.getsize(port_file)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.02)
        with open(port_file, encoding="ascii") as file:
            self.url = f"http://127.0.0.1:{file.read().strip()}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path, content=None):
        """The answer's JSON; `content` as the body of a POST, of JSON, or of a form where it is text."""
        headers = {"Authorization": "Bearer sk_test_bench"}
        body = None
        if content is not None:
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            kind = "x-www-form-urlencoded" if isinstance(content, str) else "json"
            headers["Content-Type"] = f"application/{kind}"
        with self.opener.open(urllib.request.Request(self.url + path, body, headers), timeout=60) as reply:
            return json.load(reply)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def customer_of(tenant):
    return f"cus_bench{tenant:05}"


def set_up(arguments, sandbox):
    """Catalogue, customers, Stripe's meters and the windows."""
    run_sql(arguments, arguments.conninfo, "CREATE DATABASE exporter")
    conninfo = conninfo_of(arguments, "exporter")
    catalogue = {"meters": [{"slug": slug, "event_type": f"bench.{slug}", "aggregation": "sum", "value": "/value",
                             "window": "hour", "stripe": {"event_name": f"bench_{slug}", "decimals": 3}}
                            for slug in METERS],
                 "tenants": [{"id": f"tenant_{tenant:05}", "stripe_customer": customer_of(tenant)}
                             for tenant in range(arguments.tenants)]}
    path = f"{arguments.dir}/exporter-catalogue.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(catalogue, file)
    admin(arguments, conninfo, "migrate")
    admin(arguments, conninfo, "apply", path)
    for slug in METERS:
        sandbox.ask("/v1/billing/meters", f"display_name={slug}&event_name=bench_{slug}"
                    "&default_aggregation[formula]=sum&value_settings[event_payload_key]=value"
                    "&customer_mapping[type]=by_id&customer_mapping[event_payload_key]=stripe_customer_id")
    sandbox.ask("/sandbox/customers", {"ids": [customer_of(tenant) for tenant in range(arguments.tenants)]})
    print(f"==> writing {arguments.tenants * len(METERS) * HOURS:,} windows", flush=True)
    run_sql(arguments, conninfo, FILL.format(hours=HOURS, tenants=arguments.tenants), "VACUUM ANALYZE")
    return conninfo


def export(arguments, conninfo, sandbox):
    """One run of the exporter: its account, when it began, its peak of RssAnon and its CPU."""
    began = time.time()
    process = subprocess.Popen(
        [f"{arguments.bin}/tally-exporter", "run", "--once", "--json", "--in-flight", str(arguments.in_flight),
         "--stripe-url", sandbox.url, "--database", conninfo], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "STRIPE_SECRET_KEY": "sk_test_bench"})
    memory = PeakMemory(process.pid)
    cpu = 0.0
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            cpu = max(cpu, cpu_seconds(process.pid))
        time.sleep(0.1)
    memory.done.set()
    account = json.loads(process.stdout.read() or "{}")
    return {"account": account, "exit_code": process.returncode, "began": began, "peak_mb": memory.peak / 1e6,
            "cpu_seconds": cpu, "seconds": time.time() - began}


def expected_of(tenant):
    return sum(tenant + hour + Decimal("0.125") for hour in range(HOURS))


def check(arguments, sandbox):
    """What the oracle has otherwise than the windows' sums, or None."""
    meters = sandbox.ask("/sandbox/oracle/totals")["meters"]
    for slug in METERS:
        customers = meters.get(f"bench_{slug}", {}).get("customers", {})
        if len(customers) != arguments.tenants:
            return f"meter {slug}: Stripe has {len(customers):,} customers of {arguments.tenants:,}"
        for tenant in range(arguments.tenants):
            found, wanted = Decimal(customers.get(customer_of(tenant), "0")), expected_of(tenant)
            if found != wanted:
                return f"meter {slug}, {customer_of(tenant)}: Stripe has {found}, the windows {wanted}"
    return None


def rate_of(delivered, first, last):
    """Rows a second: those behind the first one, over the time from the first request to the last."""
    return (delivered - 1) / max(last - first, 0.001)


def figures(began, first, last, delivered, peak_mb):
    """Times in seconds since 1970."""
    return [Figure("rows sent, of Stripe's limit", 0.95, rate_of(delivered, first, last) / RATE_LIMIT, "", 3, True),
            Figure("from the start to the first request", 2, first - began, "s", 2),
            Figure("peak RssAnon", 150, peak_mb, "MB", 0)]


def main():
    arguments = parse_arguments(["tenants", "in-flight"])
    sandbox = Sandbox(arguments)
    try:
        conninfo = set_up(arguments, sandbox)
        rows = arguments.tenants * len(METERS)
        print(f"==> exporting {rows:,} rows {arguments.in_flight} at once (about {rows / RATE_LIMIT:.0f} s)", flush=True)
        run = export(arguments, conninfo, sandbox)
        wrong = [difference for difference in [check(arguments, sandbox)] if difference]
        counters = sandbox.ask("/sandbox/counters")
    finally:
        sandbox.stop()
    if run["exit_code"] != 0:
        wrong.append(f"tally-exporter ended with {run['exit_code']}: {json.dumps(run['account'])[:300]}")
    psql = Psql(arguments.psql, conninfo)
    attempts, delivered, refused, first, last = psql.value(ATTEMPTS).split(" ")
    psql.close()
    run |= {"attempts": int(attempts), "delivered": int(delivered), "refused": int(refused), "first": float(first),
            "last": float(last)}
    print_table([("rows", "attempts", "delivered", "429", "seconds", "rows/s", "CPU s", "RssAnon MB"),
                 (f"{rows:,}", f"{run['attempts']:,}", f"{run['delivered']:,}", f"{run['refused']:,}",
                  f"{run['seconds']:.1f}", f"{rate_of(run['delivered'], run['first'], run['last']):,.0f}",
                  f"{run['cpu_seconds']:.1f}", f"{run['peak_mb']:.0f}")])
    judged = arguments.tenants >= JUDGED_TENANTS
    missed, out = judge(figures(run["began"], run["first"], run["last"], run["delivered"], run["peak_mb"]), judged)
    write_json(arguments, {"tenants": arguments.tenants, "in_flight": arguments.in_flight, "figures": out, "run": run,
                           "sandbox": counters})
    drop_database(arguments, "exporter")
    return conclude("exporter", wrong, missed,
                    None if judged else f"with {arguments.tenants} tenants the bars do not apply")


if __name__ == "__main__":
    sys.exit(main())
