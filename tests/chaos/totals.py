"""Exact totals from events, slow and obvious: Python's Decimal and dictionaries. It shares nothing with the
programs under test."""

from collections import defaultdict
from datetime import timezone
from decimal import Decimal, getcontext

getcontext().prec = 100  # sums stay exact


def hour_of(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%d %H:00:00+00")


WINDOWS = {"hour": hour_of}
LIMIT = Decimal(10) ** 18  # of one value


def add_up(row, value, _time):
    row[0] += value
    row[-1] += 1


def add_one(row, _value, _time):
    row[0] += 1
    row[-1] += 1


def keep_last(row, value, time):
    if row[1] is None or time > row[1]:
        row[0], row[1] = value, time
    row[-1] += 1


# aggregation -> (table, its column of the value, how a row takes a value); a row is [value, time, events]
AGGREGATIONS = {
    "sum": ("usage_window", "quantity", add_up),
    "count": ("usage_window", "quantity", add_one),
    "latest": ("gauge_window", "reading", keep_last),
}


def passes(meter, data):
    return all(data.get(rule["field"][1:]) in rule["in"] for rule in meter.get("where", []))


def value_problem(meter, data):
    """The reason why the meter cannot read this event, or None."""
    if "value" not in meter:
        return None
    value = data.get(meter["value"][1:])
    if value is None:
        return "value_missing"
    if abs(value) > LIMIT:
        return "value_out_of_range"
    return "value_negative" if value < 0 else None


def dimensions_of(meter, data):
    pairs = sorted(meter.get("group_by", {}).items())
    return "{" + ",".join(f'"{name}":"{data[path[1:]]}"' for name, path in pairs) + "}"


class Totals:
    """meter -> (tenant, meter, window, dimensions) -> [value, time, events]"""

    def __init__(self, meters):
        self.by_type = defaultdict(list)
        for meter in meters:
            self.by_type[meter["event_type"]].append(meter)
        self.rows = defaultdict(lambda: [Decimal(0), None, 0])

    def meters_of(self, event_type):
        return self.by_type.get(event_type, [])

    def add(self, event):
        """The event counts: every meter that takes it has it."""
        for meter in self.meters_of(event.type):
            if not passes(meter, event.data) or value_problem(meter, event.data):
                continue
            take = AGGREGATIONS[meter["aggregation"]][2]
            place = (event.tenant, meter["slug"], WINDOWS[meter["window"]](event.time),
                     dimensions_of(meter, event.data))
            value = event.data[meter["value"][1:]] if "value" in meter else None
            take(self.rows[place], value, event.time)

    def figures(self):
        return {place: (row[0], row[2]) for place, row in self.rows.items()}


def stored_figures(scene, meters):
    """The same from Postgres: place -> (value, events)."""
    found = {}
    for table, column in sorted({AGGREGATIONS[meter["aggregation"]][:2] for meter in meters}):
        for row in scene.query(f"SELECT tenant, meter, window_start, dimensions, {column}, events "
                               f"FROM tally.{table}"):
            found[tuple(row[:4])] = (Decimal(row[4]), int(row[5]))
    return found
