"""Every aggregation in several time zones, with billing periods, over restarts and duplicates: windows,
days, months, periods and unique counts equal an oracle that knows zoneinfo, sets and dictionaries."""

import os
import random
import sys
import unittest
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import event_text  # noqa: E402
from support.scene import Scene, wait_until  # noqa: E402

UTC = timezone.utc
# Clocks change twice a year: a long horizon lets the test reach the last change.
HORIZON = ("--horizon-seconds", str(240 * 86400))
ZONES = {"berlin": "Europe/Berlin", "kolkata": "Asia/Kolkata", "kathmandu": "Asia/Kathmandu",
         "lordhowe": "Australia/Lord_Howe", "payer": "UTC", "cut": "Europe/Berlin"}
PAYERS = ("payer", "cut")
AGGREGATIONS = ("sum", "count", "max", "min", "latest", "unique_count")


def meter(slug, aggregation, window):
    entry = {"slug": slug, "event_type": "use", "aggregation": aggregation, "window": window,
             "group_by": {"key": "/key"}}
    if aggregation != "count":
        entry["value"] = "/user" if aggregation == "unique_count" else "/n"
    if aggregation != "unique_count" and aggregation != "count":
        entry["allow_negative"] = True
    return entry


CATALOGUE = {
    "meters": [meter(f"{aggregation}_{window}", aggregation, window)
               for aggregation in AGGREGATIONS for window in ("minute", "hour", "day")],
    "plans": [],
    "tenants": [{"id": name, "name": name, "time_zone": zone,
                 **({"stripe_customer": f"cus_{name}"} if name in PAYERS else {})}
                for name, zone in ZONES.items()],
}


def first_moment(zone, date):
    """The first moment of a local date, found by walking."""
    moment = datetime(date.year, date.month, date.day, tzinfo=UTC) - timedelta(hours=15)
    while (moment + timedelta(hours=3)).astimezone(zone).date() < date:
        moment += timedelta(hours=1)
    while moment.astimezone(zone).date() < date:
        moment += timedelta(minutes=1)
    return moment


class Oracle:
    def __init__(self, periods):
        self.periods = periods                       # of tenant "cut"
        self.events = {}                             # id -> (tenant, moment, data)
        self.days = {}

    def day(self, tenant, moment):
        zone = ZoneInfo(ZONES.get(tenant, "UTC"))
        date = moment.astimezone(zone).date()
        if (zone.key, date) not in self.days:
            self.days[zone.key, date] = (first_moment(zone, date),
                                         first_moment(zone, date + timedelta(days=1)))
        return self.days[zone.key, date]

    def month(self, tenant, moment):
        zone = ZoneInfo(ZONES.get(tenant, "UTC"))
        first = moment.astimezone(zone).date().replace(day=1)
        return (first_moment(zone, first),
                first_moment(zone, (first + timedelta(days=32)).replace(day=1)))

    def period(self, tenant, moment):
        for start, end in self.periods if tenant == "cut" else ():
            if start <= moment < end:
                return start, end
        return None

    def window(self, tenant, moment, size):
        day = self.day(tenant, moment)
        edges = sorted({edge for period in self.periods for edge in period}) if tenant == "cut" else []
        whole = all(edge.minute == 0 and edge.second == 0 for edge in day)
        seconds = {"minute": 60, "hour": 3600 if whole else 900, "day": None}[size]
        if tenant in PAYERS and (not edges or moment >= edges[-1]):
            seconds = 60
        start, end = day
        if seconds is not None:
            unit = int(moment.timestamp()) // seconds * seconds
            start = max(start, datetime.fromtimestamp(unit, UTC))
            end = min(end, datetime.fromtimestamp(unit + seconds, UTC))
        for edge in edges:
            if start < edge <= moment:
                start = edge
            if moment < edge < end:
                end = edge
        return start, end

    def spans(self, tenant, moment, size):
        yield "window", self.window(tenant, moment, size)
        yield "day", self.day(tenant, moment)
        yield "month", self.month(tenant, moment)
        period = self.period(tenant, moment)
        if period:
            yield "period", period

    def table(self):
        """(tenant, meter, span, start, end, dimensions) -> value, as text."""
        groups = defaultdict(list)
        for tenant, moment, data in self.events.values():
            for aggregation in AGGREGATIONS:
                for size in ("minute", "hour", "day"):
                    for span, (start, end) in self.spans(tenant, moment, size):
                        by_key = span == "window" or aggregation in ("max", "min", "latest")
                        key = f'{{"key":"{data["key"]}"}}' if by_key else "{}"
                        groups[tenant, f"{aggregation}_{size}", span, int(start.timestamp()),
                               int(end.timestamp()), key].append((moment, data))
        return {key: self.value(key[1].rsplit("_", 1)[0], rows) for key, rows in groups.items()}

    @staticmethod
    def value(aggregation, rows):
        numbers = [data["n"] for _, data in rows]
        values = {"sum": lambda: sum(numbers), "count": lambda: len(rows),
                  "max": lambda: max(numbers), "min": lambda: min(numbers),
                  "latest": lambda: max(rows, key=lambda row: row[0])[1]["n"],
                  "unique_count": lambda: len({data["user"] for _, data in rows})}
        return Decimal(values[aggregation]()), len(rows)


STORED = """
SELECT tenant, meter, span, extract(epoch FROM s)::bigint, extract(epoch FROM e)::bigint, dimensions,
       value, events FROM (
  SELECT tenant, meter, 'window' AS span, window_start AS s, window_end AS e, dimensions,
         trim_scale(quantity)::text AS value, events FROM tally.usage_window
  UNION ALL SELECT tenant, meter, span, span_start, span_end, '{}', trim_scale(quantity)::text, events
    FROM tally.usage_total
  UNION ALL SELECT tenant, meter, 'window', window_start, window_end, dimensions,
         trim_scale(reading)::text, events FROM tally.gauge_window
  UNION ALL SELECT tenant, meter, span, span_start, span_end, dimensions, trim_scale(reading)::text,
         events FROM tally.gauge_total
  UNION ALL SELECT tenant, meter, span, span_start, span_end, dimensions, members::text, events
    FROM tally.unique_set) stored"""


class Aggregations(unittest.TestCase):
    def setUp(self):
        self.used = set()

    def expect(self, scene, oracle):
        stored = {(*row[:3], int(row[3]), int(row[4]), row[5]): (Decimal(row[6]), int(row[7]))
                  for row in scene.query(STORED)}
        wanted = oracle.table()
        differences = [f"{key}: wanted {wanted.get(key)}, stored {stored.get(key)}"
                       for key in sorted(wanted.keys() | stored.keys())
                       if wanted.get(key) != stored.get(key)]
        self.assertEqual(differences[:12], [], f"{len(differences)} of {len(wanted)} rows")
        done = scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def moments(self, dice, tenant, now):
        """Around changes of clocks, ends of days and months, edges of periods, and lately."""
        year = now.year
        zone = ZoneInfo(ZONES.get(tenant, "UTC"))
        day = timedelta(days=1)
        near = [now - timedelta(minutes=5), now - timedelta(hours=3), now - day, now - 30 * day]
        for back in range(1, 230):
            start = first_moment(zone, (now - back * day).astimezone(zone).date())
            end = first_moment(zone, (now - (back - 1) * day).astimezone(zone).date())
            if end - start != day:  # clocks change on this day
                near += [start, end, start + (end - start) / 2]
        near += [datetime(year, now.month, 1, tzinfo=zone).astimezone(UTC)]
        near = [moment for moment in near if now - 230 * day < moment < now - timedelta(minutes=1)]
        while True:
            moment = dice.choice(near) + timedelta(microseconds=dice.randrange(-1, 2)) * dice.choice(
                [1, 10**6, 59 * 10**6]) - timedelta(seconds=dice.randrange(60))
            while (tenant, moment) in self.used:  # of equal moments the oracle cannot tell the last
                moment += timedelta(microseconds=1)
            self.used.add((tenant, moment))
            yield moment

    def stream(self, dice, oracle, count, prefix, now):
        records = []
        moments = {tenant: self.moments(dice, tenant, now) for tenant in [*ZONES, "stranger"]}
        for number in range(count):
            tenant = dice.choice(list(moments))
            moment = next(moments[tenant])
            data = {"n": Decimal(dice.randrange(-10**6, 10**6)) / 1000, "key": dice.choice("ab"),
                    "user": dice.choice([f"u{dice.randrange(40)}", dice.randrange(40)])}
            name = f"{prefix}{number}"
            oracle.events[name] = (tenant, moment, data)
            records.append((name, event_text(name, tenant, "use", data, moment.isoformat())))
            if dice.random() < 0.2:
                records.append(records[-1])
        return records

    def test_equals_the_oracle_over_restarts_and_new_periods(self):
        dice = random.Random(4)
        now = datetime.now(UTC)
        edge = (now - timedelta(days=30)).replace(microsecond=0)
        oracle = Oracle([(edge - timedelta(days=31), edge), (edge, edge + timedelta(days=31))])
        with Scene(CATALOGUE) as scene:
            rows = ", ".join(f"('cut', '{start.isoformat()}', '{end.isoformat()}')"
                             for start, end in oracle.periods)
            before = scene.value("SELECT version FROM tally.catalogue_version")
            scene.query(f"INSERT INTO tally.billing_period VALUES {rows}")
            self.assertNotEqual(scene.value("SELECT version FROM tally.catalogue_version"), before)
            first = self.stream(dice, oracle, 300, "a", now)
            scene.publish(first)
            killed = scene.aggregator(failpoints="aggregator.in_commit=kill@1", arguments=HORIZON)
            killed.await_killed()
            again = scene.aggregator(arguments=HORIZON)
            scene.await_all_committed()
            again.stop()
            self.expect(scene, oracle)
            # Values that overlap with the stored sets, and duplicates across the restart.
            scene.publish(self.stream(dice, oracle, 150, "b", now) + first[::7])
            last = scene.aggregator(arguments=HORIZON)
            scene.await_all_committed()
            self.expect(scene, oracle)
            self.a_period_that_comes_later(scene, oracle)
            last.stop()

    def a_period_that_comes_later(self, scene, oracle):
        """Its totals are born from the windows that start in it, also where nothing more arrives."""
        scene.query("INSERT INTO tally.billing_period SELECT 'payer', date_trunc('day', now()) - "
                    "interval '40 days', date_trunc('day', now()) + interval '10 days'")
        start, end = (int(value) for value in scene.query(
            "SELECT extract(epoch FROM period_start)::bigint, extract(epoch FROM period_end)::bigint "
            "FROM tally.billing_period WHERE tenant = 'payer'")[0])
        opened = "SELECT count(*) FROM tally.period_opened WHERE tenant = 'payer'"
        name = "poke"  # the next commit finds that the catalogue moved
        data = {"n": Decimal(1), "key": "a", "user": "u1"}
        oracle.events[name] = ("stranger", datetime.now(UTC), data)
        scene.publish([(name, event_text(name, "stranger", "use", data,
                                         oracle.events[name][1].isoformat()))])
        wait_until(lambda: scene.value(opened) == "1", "the period is opened", 60)
        scene.await_all_committed()
        mine = [event for event in oracle.events.values()
                if event[0] == "payer" and start <= event[1].timestamp() < end]
        self.assertGreater(len(mine), 10)
        self.assertEqual(Decimal(scene.value(
            "SELECT quantity FROM tally.usage_total WHERE tenant = 'payer' "
            "AND meter = 'sum_day' AND span = 'period'")), sum(data["n"] for _, _, data in mine))
        self.assertEqual(scene.value(
            "SELECT members FROM tally.unique_set WHERE tenant = 'payer' "
            "AND meter = 'unique_count_day' AND span = 'period'"),
            str(len({data["user"] for _, _, data in mine})))
        done = scene.admin("verify", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
