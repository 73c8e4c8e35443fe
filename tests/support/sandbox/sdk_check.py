#!/usr/bin/env python3
"""Stripe's own Python SDK as a foreign client of the sandbox.

usage: sdk_check.py PATH_OF_tally-stripe-sandbox     (needs: pip install stripe)

Starts a sandbox on a free port, drives it through the SDK, and compares with the oracle. Exit 0
only when every check holds.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import stripe


class Sandbox:
    """The program under test; stopped by its own process handle."""

    def __init__(self, binary: str, directory: str):
        port_file = pathlib.Path(directory) / "port"
        command = [binary, "--port-file", str(port_file)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the sandbox did not start")
            time.sleep(0.02)
        self.url = "http://127.0.0.1:" + port_file.read_text().strip()

    def ask(self, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data)) as answer:
            return json.load(answer)

    def total(self, event_name: str) -> str:
        return self.ask("/sandbox/oracle/totals")["meters"][event_name]["total"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def client(sandbox: Sandbox, retries: int) -> stripe.StripeClient:
    addresses = {"api": sandbox.url, "meter_events": sandbox.url}
    return stripe.StripeClient("sk_test_sdk", base_addresses=addresses, max_network_retries=retries)


def event(value: str, identifier: str, customer: str = "cus_1", **more) -> dict:
    payload = {"stripe_customer_id": customer, "value": value}
    return {"event_name": "tokens", "identifier": identifier, "payload": payload, **more}


def expect(holds: bool, what: str):
    print(("ok      " if holds else "WRONG   ") + what)
    if not holds:
        raise SystemExit(1)


def raises(kind, call) -> bool:
    try:
        call()
    except kind:
        return True
    return False


def check_meters(sandbox: Sandbox) -> str:
    meters = client(sandbox, 0).v1.billing.meters
    meter = meters.create({"display_name": "Tokens", "event_name": "tokens",
                           "default_aggregation": {"formula": "sum"}})
    expect(meters.retrieve(meter.id).event_name == "tokens", "a meter is created and read back")
    for i in range(12):
        meters.create({"display_name": "M", "event_name": f"other{i}",
                       "default_aggregation": {"formula": "count"}})
    listed = [m.event_name for m in meters.list({"limit": 5}).auto_paging_iter()]
    expect(len(listed) == len(set(listed)) == 13, "auto paging sees every meter once")
    other = meters.list({"limit": 1}).data[0].id
    expect(meters.deactivate(other).status == "inactive", "a meter is deactivated")
    return meter.id


def check_events(sandbox: Sandbox):
    events = client(sandbox, 0).v1.billing.meter_events
    made = events.create(event("25.5", "a"))
    expect(made.payload["value"] == "25.5", "an event is accepted")
    duplicate = lambda: events.create(event("25.5", "a"))
    expect(raises(stripe.InvalidRequestError, duplicate), "its identifier is known")
    once = lambda value: events.create(event(value, "b"), {"idempotency_key": "k"})
    once("1")
    expect(once("1").identifier == "b", "an idempotency key replays")
    expect(raises(stripe.IdempotencyError, lambda: once("2")), "and refuses other parameters")
    exponent = lambda: events.create(event("1e3", "c"))
    expect(raises(stripe.InvalidRequestError, exponent), "1e3 is no value")
    expect(sandbox.total("tokens") == "26.5", "the oracle agrees: 26.5")


def check_retries(sandbox: Sandbox):
    events = client(sandbox, 4).v1.billing.meter_events
    kinds = ["status_409", "drop_before", "status_503", "drop_after"]
    sandbox.ask("/sandbox/faults", [{"match": "meter_events", "kind": kind} for kind in kinds])
    events.create(event("10", "r"))
    expect(sandbox.total("tokens") == "36.5", "the SDK's retries through four faults count once")
    sandbox.ask("/sandbox/faults", {"kind": "status_429", "limit_reason": "global-rate"})
    limited = lambda: client(sandbox, 0).v1.billing.meter_events.create(event("1", "s"))
    expect(raises(stripe.RateLimitError, limited), "429 is a RateLimitError")


def check_summaries(sandbox: Sandbox, meter_id: str):
    c = client(sandbox, 0)
    hour = int(time.time()) // 3600 * 3600
    for i in range(1, 13):
        c.v1.billing.meter_events.create(event(str(i), f"h{i}", "cus_2", timestamp=hour - i * 3600))
    summaries = c.v1.billing.meters.event_summaries.list(
        meter_id, {"customer": "cus_2", "start_time": hour - 12 * 3600, "end_time": hour,
                   "value_grouping_window": "hour"})
    values = [row.aggregated_value for row in summaries.auto_paging_iter()]
    expect(values == list(range(1, 13)), "hourly summaries page newest first")
    c.v1.billing.meter_event_adjustments.create(
        {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "h12"}})
    expect(sandbox.total("tokens") == "102.5", "a cancelled event is taken out")
    bad = stripe.StripeClient("sk_live_x", base_addresses={"api": sandbox.url})
    expect(raises(stripe.AuthenticationError, bad.v1.billing.meters.list), "live keys are refused")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        sandbox = Sandbox(sys.argv[1], directory)
        try:
            meter_id = check_meters(sandbox)
            check_events(sandbox)
            check_retries(sandbox)
            check_summaries(sandbox, meter_id)
        finally:
            sandbox.stop()
    print("The SDK and the sandbox agree.")


if __name__ == "__main__":
    main()
