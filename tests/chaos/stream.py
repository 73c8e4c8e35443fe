"""The seeded stream: what each number publishes is a pure function of (seed, number), so the producer may
die at any moment and the auditor still knows what every acked number was.

Retries carry the bytes of the first. Copies with another time or other values refer to the first numbers
(the calm baseline, consumed before any fault) only: so which copy came first is known in every mode."""

import hashlib
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Decimal

TENANTS = 150
BLOCK = 100                    # numbers that share one transaction, if they are in one
LATE = timedelta(days=40)      # past the 35 days of the dedup horizon
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# The meters are data: another one needs a line here, and its aggregation one in totals.py.
METERS = [
    {"slug": "calls", "event_type": "call", "aggregation": "count",
     "group_by": {"key": "/key"}, "where": [{"field": "/status", "in": ["ok"]}], "window": "hour"},
    {"slug": "bytes", "event_type": "call", "aggregation": "sum", "value": "/bytes",
     "where": [{"field": "/status", "in": ["ok"]}], "window": "hour"},
    {"slug": "tokens", "event_type": "chat", "aggregation": "sum", "value": "/tokens",
     "group_by": {"model": "/model"}, "window": "hour"},
    {"slug": "seats", "event_type": "team", "aggregation": "latest", "value": "/seats",
     "window": "hour"},
]
CATALOGUE = {"meters": METERS, "plans": [], "tenants": []}

# Records that can only be rejected: reason -> bytes ("?" becomes the key).
BAD = [
    ("empty_value", b""),
    ("malformed_json", b'{"specversion":"1.0","id":"?",'),
    ("not_a_cloudevent", b'[]'),
    ("not_a_cloudevent", b'{"id":"?"}'),
    ("missing_attribute", b'{"specversion":"1.0","id":"?","source":"test","type":"chat","data":{}}'),
]
# What a meter refuses in an otherwise good event; its identity is not claimed.
BAD_TOKENS = [("value_missing", None), ("value_negative", Decimal(-1)),
              ("value_out_of_range", Decimal(10) ** 19)]

Event = namedtuple("Event", "id tenant type data time")
# kind: event, bad · body: Event or (reason, bytes) · origin: the number that first had this identity ·
# altered: "" its own bytes, "late at first" (the good second one counts), "copy" (must never count)
Record = namedtuple("Record", "kind key body origin altered")


class Stream:
    """shares: parts of 65536 per role; `baseline`: so many first numbers are consumed in calm."""

    def __init__(self, seed, base, baseline):
        self.seed = str(seed).encode()
        self.base = base
        self.baseline = baseline

    def _dice(self, number, salt=b""):
        digest = hashlib.blake2b(b"%s:%d:%s" % (self.seed, number, salt), digest_size=32).digest()
        return [int.from_bytes(digest[i:i + 4], "little") for i in range(0, 32, 4)]

    def block_role(self, block):
        """plain, committed (in one transaction) or aborted: those records are never seen."""
        dice = self._dice(block, b"block")[0] % 100
        return "aborted" if dice < 3 else "committed" if dice < 8 else "plain"

    def record(self, number):
        dice = self._dice(number)
        share = dice[0] % 1000
        if share < 8:
            reason, value = BAD[dice[1] % len(BAD)]
            key = f"bad{number}"
            return Record("bad", key, (reason, value.replace(b"?", key.encode())), number, "")
        if share < 60 and number > 0:
            # Most retries come soon, some long after the first, across every restart between them.
            back = dice[2] % 500 if dice[1] % 4 else dice[2]
            return self.record(number - 1 - back % number)
        if share < 80 and number >= self.baseline > 0:
            return self._copy_of_old(number, dice)
        return self._fresh(number, dice)

    def _copy_of_old(self, number, dice):
        """A copy of a baseline event with other values, another time, or in time at last."""
        old = self.record(dice[1] % self.baseline)
        if old.kind != "event" or self.block_role(old.origin // BLOCK) != "plain":
            return self._fresh(number, dice)
        event = old.body
        if self.base - event.time > LATE / 2:
            body = event._replace(time=event.time + LATE)
            return Record("event", event.id, body, old.origin, "late at first")
        if dice[2] % 2:
            shift = LATE if dice[3] % 4 == 0 else timedelta(seconds=dice[3] % 3600)
            return Record("event", event.id, event._replace(time=event.time - shift), old.origin,
                          "copy")
        data = dict(event.data)
        for name in ("tokens", "seats", "bytes"):
            if 0 < data.get(name, 0) < 10**15:
                data[name] += 1 + dice[3] % 1000
        return Record("event", event.id, event._replace(data=data), old.origin, "copy")

    def _fresh(self, number, dice):
        # Every 16th shares its request id with the number before it, under another tenant.
        twin = number % 16 == 1
        event_id = f"r{number - 1 if twin else number}"
        tenant = f"twin-{dice[1] % TENANTS}" if twin else f"tenant-{dice[1] % TENANTS}"
        time = self.base - timedelta(seconds=dice[2] % 9000 + 60)
        time = time.replace(microsecond=number % 1_000_000)  # no two readings at one moment
        if dice[3] % 200 == 0:
            time -= LATE
        kind, data = self._kind(dice)
        return Record("event", event_id, Event(event_id, tenant, kind, data, time), number, "")

    @staticmethod
    def _kind(dice):
        pick = dice[4] % 100
        if pick < 3:
            return "email", {}
        if pick < 42:
            return "call", {"key": "ab"[dice[5] % 2], "bytes": Decimal(dice[7]),
                            "status": "error" if dice[6] % 5 == 0 else "ok"}
        if pick >= 92:
            return "team", {"seats": Decimal(dice[5] % 1000)}
        data = {"model": "xyz"[dice[5] % 3],
                "tokens": Decimal(dice[5] * 2**32 + dice[6]).scaleb(-12) * (1 + dice[7] % 1000)}
        if dice[7] % 300 == 0:
            data["tokens"] = BAD_TOKENS[dice[6] % len(BAD_TOKENS)][1]
            if data["tokens"] is None:
                del data["tokens"]
        return "chat", data
