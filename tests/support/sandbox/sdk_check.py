#!/usr/bin/env python3
"""Stripe's own Python SDK as a foreign client of the sandbox.

usage: sdk_check.py PATH_OF_tally-stripe-sandbox     (needs: pip install stripe)

Starts a sandbox on a free port, drives it through the SDK, and compares with the oracle. Exit 0
only when every check holds.
"""

import http.client
import http.server
import json
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import stripe

NOW = 1_800_000_000  # on a minute and an hour
HOUR = 3_600
DAY = 86_400
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sandbox:
    """The program under test; stopped by its own process handle."""

    def __init__(self, binary: str, directory: str):
        port_file = pathlib.Path(directory) / "port"
        # What is sent is counted at once; all else is as the program has it.
        command = [binary, "--port-file", str(port_file), "--settings", '{"apply_delay_max_s": 0}']
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the sandbox did not start")
            time.sleep(0.02)
        self.url = "http://127.0.0.1:" + port_file.read_text().strip()

    def ask(self, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        with NO_PROXY.open(urllib.request.Request(self.url + path, data=data), timeout=30) as answer:
            return json.load(answer)

    def total(self, event_name: str) -> str:
        return self.ask("/sandbox/oracle/totals")["meters"][event_name]["total"]

    def advance(self, seconds: int):
        self.ask("/sandbox/clock", {"advance_seconds": seconds})

    def stop(self):
        self.process.terminate()
        self.process.wait()


def client(sandbox: Sandbox, retries: int = 0, key: str = "sk_test_sdk") -> stripe.StripeClient:
    addresses = {"api": sandbox.url, "meter_events": sandbox.url}
    return stripe.StripeClient(key, base_addresses=addresses, max_network_retries=retries)


def event(value: str, identifier: str, customer: str = "cus_1", **more) -> dict:
    payload = {"stripe_customer_id": customer, "value": value}
    return {"event_name": "tokens", "identifier": identifier, "payload": payload, **more}


def expect(holds: bool, what: str):
    print(("ok      " if holds else "WRONG   ") + what)
    if not holds:
        raise SystemExit(1)


def raised(call):
    """The exact error that the SDK made of the answer; None when it made none."""
    try:
        call()
    except stripe.StripeError as error:
        return error
    return None


def raises(kind, call) -> bool:
    return type(raised(call)) is kind


def check_meters(sandbox: Sandbox) -> str:
    meters = client(sandbox).v1.billing.meters
    meter = meters.create({"display_name": "Tokens", "event_name": "tokens",
                           "default_aggregation": {"formula": "sum"},
                           "customer_mapping": {"event_payload_key": "stripe_customer_id",
                                                "type": "by_id"},
                           "value_settings": {"event_payload_key": "value"}})
    expect(meters.retrieve(meter.id).event_name == "tokens", "a meter is created and read back")
    expect(meters.update(meter.id, {"display_name": "T"}).display_name == "T", "and renamed")
    for i in range(12):
        meters.create({"display_name": "M", "event_name": f"other{i}",
                       "default_aggregation": {"formula": "count"}})
    listed = [m.event_name for m in meters.list({"limit": 5}).auto_paging_iter()]
    expect(len(listed) == len(set(listed)) == 13, "auto paging sees every meter once")
    other = meters.list({"limit": 1}).data[0].id
    expect(meters.deactivate(other).status == "inactive", "a meter is deactivated")
    inactive = [m.id for m in meters.list({"status": "inactive"})]
    expect(inactive == [other], "and listed so")
    expect(meters.reactivate(other).status == "active", "and reactivated")
    return meter.id


def check_events(sandbox: Sandbox):
    events = client(sandbox).v1.billing.meter_events
    made = events.create(event("25.5", "a"))
    expect(made.payload["value"] == "25.5", "an event is accepted")
    expect(made.last_response.headers["request-id"].startswith("req_"), "with a request id")
    duplicate = raised(lambda: events.create(event("25.5", "a")))
    expect("An event already exists with identifier a." in str(duplicate) and duplicate.code is None,
           "its identifier is known")
    once = lambda value: events.create(event(value, "b"), {"idempotency_key": "k"})
    once("1")
    again = once("1").last_response.headers
    expect(again["idempotent-replayed"] == "true" and again["idempotency-key"] == "k",
           "an idempotency key replays")
    expect(raises(stripe.IdempotencyError, lambda: once("2")), "and refuses other parameters")
    expect(raises(stripe.InvalidRequestError, lambda: events.create(event("1e3", "c"))),
           "1e3 is no value")
    expect(sandbox.total("tokens") == "26.5", "the oracle agrees: 26.5")


def check_errors(sandbox: Sandbox):
    events = client(sandbox).v1.billing.meter_events
    unknown = raised(lambda: events.create(event("1", "e", surprise="x")))
    expect((type(unknown), unknown.param, unknown.code, unknown.http_status)
           == (stripe.InvalidRequestError, "surprise", "parameter_unknown", 400),
           "an unknown parameter is named")
    missing = raised(lambda: client(sandbox).v1.billing.meters.retrieve("mtr_none"))
    expect((type(missing), missing.code, missing.http_status)
           == (stripe.InvalidRequestError, "resource_missing", 404), "a missing meter is a 404")
    refused = {"sk_live_x": stripe.AuthenticationError, "sk_test_forbidden": stripe.PermissionError}
    for key, kind in refused.items():
        expect(raises(kind, client(sandbox, key=key).v1.billing.meters.list),
               f"{key} is a {kind.__name__}")
    faults = {"status_429": stripe.RateLimitError, "status_409": stripe.APIError,
              "status_500": stripe.APIError, "status_502": stripe.APIError,
              "status_503": stripe.APIError, "drop_before": stripe.APIConnectionError,
              "reset_before": stripe.APIConnectionError}
    for kind, error in faults.items():
        reason = {"limit_reason": "global-rate"} if kind == "status_429" else {}
        sandbox.ask("/sandbox/faults", {"kind": kind, **reason})
        expect(raises(error, lambda: events.create(event("1", "f"))), f"{kind} is {error.__name__}")
    expect(sandbox.total("tokens") == "26.5", "nothing of that was counted")


def check_limits(sandbox: Sandbox):
    usual = sandbox.ask("/sandbox/settings")["answer_delay_ms"]
    sandbox.ask("/sandbox/settings", {"concurrent_calls": 1, "answer_delay_ms": 600_000})
    held = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=30)
    held.request("GET", "/v1/billing/meters", headers={"Authorization": "Bearer sk_test_held"})
    deadline = time.monotonic() + 30
    while sandbox.ask("/sandbox/counters")["in_flight"] == 0:
        expect(time.monotonic() < deadline, "the held call is in flight within 30 seconds")
        time.sleep(0.02)
    sandbox.ask("/sandbox/settings", {"answer_delay_ms": usual})
    limited = raised(client(sandbox).v1.billing.meters.list)
    expect(isinstance(limited, stripe.RateLimitError)
           and limited.headers["stripe-rate-limited-reason"] == "global-concurrency",
           "the limiter says why")
    sandbox.ask("/sandbox/settings", {"concurrent_calls": 0})
    held.close()


def check_retries(sandbox: Sandbox):
    events = client(sandbox, 4).v1.billing.meter_events
    kinds = ["status_409", "drop_before", "status_503", "reset_after"]
    sandbox.ask("/sandbox/faults", [{"match": "meter_events", "kind": kind} for kind in kinds])
    events.create(event("10", "r"))
    expect(sandbox.total("tokens") == "36.5", "the SDK's retries through four faults count once")
    sandbox.ask("/sandbox/faults", {"kind": "status_429", "should_retry": "true", "count": 2})
    events.create(event("1", "s"))
    expect(sandbox.total("tokens") == "37.5", "a 429 that says retry is retried")
    sandbox.ask("/sandbox/faults", {"kind": "status_500", "should_retry": "false"})
    expect(raises(stripe.APIError, lambda: events.create(event("1", "t"))),
           "a 500 that says otherwise is not")


def check_summaries(sandbox: Sandbox, meter_id: str):
    c = client(sandbox)
    for i in range(1, 26):
        c.v1.billing.meter_events.create(event(str(i), f"h{i}", "cus_2", timestamp=NOW - i * HOUR))
    asked = {"customer": "cus_2", "start_time": NOW - 25 * HOUR, "end_time": NOW}
    ask = lambda **more: c.v1.billing.meters.event_summaries.list(meter_id, {**asked, **more})
    first = ask(value_grouping_window="hour")
    expect(len(first.data) == 10 and first.has_more, "a page has ten rows")
    values = [row.aggregated_value for row in first.auto_paging_iter()]
    expect(values == list(range(1, 26)), "hourly summaries page newest first")
    expect(len(ask(value_grouping_window="hour", limit=100).data) == 25, "or a hundred at once")
    starts = [(row.start_time, row.end_time) for row in first.data[:2]]
    expect(starts == [(NOW - HOUR, NOW), (NOW - 2 * HOUR, NOW - HOUR)], "each of one hour")
    whole = ask().data
    expect([row.aggregated_value for row in whole] == [325], "ungrouped it is one row")
    expect([row.aggregated_value for row in ask(end_time=NOW - 24 * HOUR).data] == [25],
           "the end is exclusive")
    for wrong in ({"start_time": NOW - 61}, {"limit": 101}, {"value_grouping_window": "week"},
                  {"value_grouping_window": "day"}):
        expect(raises(stripe.InvalidRequestError, lambda: ask(**wrong)), f"{wrong} is refused")


def check_adjustments(sandbox: Sandbox):
    c = client(sandbox)
    cancel = lambda identifier: c.v1.billing.meter_event_adjustments.create(
        {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": identifier}})
    done = cancel("h12")
    expect((done.object, done.status, done.cancel.identifier)
           == ("billing.meter_event_adjustment", "complete", "h12"), "an event is cancelled")
    expect(sandbox.total("tokens") == "350.5", "and taken out")
    expect(raised(lambda: cancel("none")).code == "resource_missing", "an unknown one is not")
    sandbox.ask("/sandbox/settings", {"apply_delay_min_s": 60, "apply_delay_max_s": 60})
    c.v1.billing.meter_events.create(event("7", "waits"))
    expect(cancel("waits").status == "pending", "a waiting event's cancelling waits")
    sandbox.ask("/sandbox/settings", {"apply_delay_min_s": 0, "apply_delay_max_s": 0})
    sandbox.advance(DAY)
    expect(raised(lambda: cancel("h11")).code == "out_of_window", "after 24 hours it is too late")
    expect(sandbox.total("tokens") == "350.5", "the oracle agrees: 350.5")


def check_reports(sandbox: Sandbox, meter_id: str):
    c = client(sandbox)
    customer = c.v1.customers.create({"name": "N", "metadata": {"tally_tenant": "t"}})
    expect(c.v1.customers.retrieve(customer.id).metadata["tally_tenant"] == "t",
           "a customer is created and read back")
    expect(c.v1.customers.delete(customer.id).deleted, "and deleted")
    for i in range(3):
        c.v1.billing.meter_events.create(event("1", f"id{i}", customer.id),
                                         {"idempotency_key": f"late{i}"})
    sandbox.advance(20)
    thin = sandbox.ask("/sandbox/notifications")["notifications"]
    expect(len(thin) == 1, "its events are taken, and reported later")
    body, secret = json.dumps(thin[0]), "whsec_test"
    header = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time()))
    note = c.parse_event_notification(body, header, secret)
    expect(note.type == "v1.billing.meter.error_report_triggered", "as a thin event")
    expect(note.fetch_related_object().id == meter_id, "of the meter")
    reason = note.fetch_event().data.reason
    expect(reason.error_count == 3, "whose data is fetched")
    error = reason.error_types[0]
    expect((error.code, error.error_count) == ("meter_event_customer_not_found", 3), "with a code")
    named = {sample.request.identifier for sample in error.sample_errors}
    expect(named == {"late0", "late1", "late2"}, "and their calls named")
    missing = raised(lambda: c.v2.core.events.retrieve("evt_none"))
    expect((missing.code, missing.http_status) == ("not_found", 404), "an unknown one is a 404")
    expect(sandbox.total("tokens") == "350.5", "and nothing of it was counted")


def check_billing(sandbox: Sandbox, meter_id: str):
    c = client(sandbox)
    now = sandbox.ask("/sandbox/clock")["now"]
    customer = c.v1.customers.create({"name": "B"}).id
    price = c.v1.prices.create({"currency": "usd", "product": "prod_1", "unit_amount_decimal": "2.5",
                                "lookup_key": "pro", "recurring": {
                                    "interval": "month", "usage_type": "metered", "meter": meter_id}})
    expect(c.v1.prices.list({"lookup_keys": ["pro"]}).data[0].id == price.id,
           "a price is found by its lookup key")
    made = c.v1.subscriptions.create({"customer": customer, "items": [{"price": price.id}],
                                      "metadata": {"tally_tenant": "t"}})
    read = c.v1.subscriptions.retrieve(made.id)
    end = read["items"].data[0].current_period_end
    expect((read.status, read.metadata["tally_tenant"]) == ("active", "t")
           and read["items"].data[0].current_period_start == now, "a subscription is read back")
    c.v1.billing.meter_events.create(event("7.5", "billed", customer))
    c.v1.invoice_items.create({"customer": customer, "currency": "usd", "quantity_decimal": "2",
                               "unit_amount_decimal": "10", "period": {"start": now, "end": now}})
    sandbox.advance(end - now)
    draft = c.v1.invoices.list({"subscription": made.id, "status": "draft"}).data[0]
    expect(draft.automatically_finalizes_at == end + HOUR, "its period's end drafts an invoice")
    sandbox.advance(HOUR)
    paid = c.v1.invoices.retrieve(draft.id)
    expect((paid.status, paid.total) == ("paid", 39), "which is finalized and paid")
    lines = c.v1.invoices.line_items.list(draft.id).data
    expect([str(line.quantity_decimal) for line in lines] == ["7.5", "2"]
           and lines[0].period.end == end, "its lines have the usage and the item")
    expect(c.v1.subscriptions.cancel(made.id).status == "canceled", "a subscription is cancelled")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; its server says which status it answers."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.put((body, self.headers["Stripe-Signature"]))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


def check_webhooks(sandbox: Sandbox):
    c = client(sandbox)
    receiver = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    receiver.got, receiver.status = queue.Queue(), 200
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    # The SDK compares with the real clock.
    sandbox.ask("/sandbox/clock", {"now": None})
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    made = c.v1.webhook_endpoints.create({"url": url, "enabled_events": ["customer.created"]})
    got = lambda: receiver.got.get(timeout=30)
    verifies = lambda sent, secret: stripe.Webhook.construct_event(*sent, secret).type
    c.v1.customers.create({"name": "W"})
    first = got()
    expect(verifies(first, made.secret) == "customer.created", "the SDK verifies what is sent")
    expect(refuses(first, "whsec_other"), "and refuses another secret")
    sandbox.ask("/sandbox/webhook_secret", {"endpoint": made.id, "secret": "whsec_new"})
    c.v1.customers.create({"name": "W"})
    both = got()
    expect(verifies(both, made.secret) == verifies(both, "whsec_new") == "customer.created",
           "a rolled secret signs beside the old one")
    for kind in ("stale", "forged", "tampered", "unsigned"):
        receiver.status = 400
        sandbox.ask("/sandbox/webhook_faults", {"kind": kind})
        c.v1.customers.create({"name": "W"})
        expect(refuses(got(), "whsec_new"), f"{kind}: refused")
        receiver.status = 200
        if kind != "stale":
            expect(verifies(got(), "whsec_new") == "customer.created", "the true one is not")
    receiver.shutdown()
    receiver.server_close()


def refuses(sent, secret: str) -> bool:
    try:
        stripe.Webhook.construct_event(*sent, secret)
    except stripe.SignatureVerificationError:
        return True
    return False


def check_stream(sandbox: Sandbox):
    c = client(sandbox)
    before = sandbox.total("tokens")
    session = c.v2.billing.meter_event_session.create()
    sends = client(sandbox, key=session.authentication_token).v2.billing.meter_event_stream
    sends.create({"events": [event("1", "s1"), event("2", "s2"), event("2", "s2")]})
    after = sandbox.total("tokens")
    expect(float(after) - float(before) == 3, "a session's stream is counted, identifiers once")
    sandbox.advance(15 * 60)
    expect(raises(stripe.TemporarySessionExpiredError,
                  lambda: sends.create({"events": [event("1", "s3")]})), "its token expires")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        sandbox = Sandbox(sys.argv[1], directory)
        try:
            sandbox.ask("/sandbox/clock", {"now": NOW})
            sandbox.ask("/sandbox/customers", {"ids": ["cus_1", "cus_2"]})
            meter_id = check_meters(sandbox)
            check_events(sandbox)
            check_errors(sandbox)
            check_limits(sandbox)
            check_retries(sandbox)
            check_summaries(sandbox, meter_id)
            check_adjustments(sandbox)
            check_reports(sandbox, meter_id)
            check_billing(sandbox, meter_id)
            check_stream(sandbox)
            check_webhooks(sandbox)
        finally:
            sandbox.stop()
    print("The SDK and the sandbox agree.")


if __name__ == "__main__":
    main()
