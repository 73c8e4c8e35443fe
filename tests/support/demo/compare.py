"""Compares what the generator planned with what Postgres and Stripe hold, line by line.

compare.py PSQL CONNINFO EXPECTED.json STRIPE.json

Adds up with Python's exact integers and decimals, and exits with 1 when any line differs. Postgres is compared
by class and by meter, Stripe by customer and meter too; single windows are the integration tests' matter.
"""

import csv
import io
import json
import os
import subprocess
import sys
from decimal import Decimal, getcontext

getcontext().prec = 60

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
CLASSES = ["counted", "duplicate", "conflict", "late", "rejected", "unmetered", "filtered"]


def query(psql, conninfo, sql):
    done = subprocess.run([psql, "-X", "--csv", "-q", "-v", "ON_ERROR_STOP=1", conninfo, "-c", sql],
                          check=True, capture_output=True, text=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def plain(value):
    """A decimal's text without exponent or trailing zeros."""
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Table:
    """Aligned lines, each with its verdict."""

    def __init__(self, *heads):
        self.rows = [list(heads) + [""]]
        self.failed = []

    def add(self, name, *values, holds):
        self.rows.append([name, *[str(value) for value in values], "equal" if holds else "DIFFERENT"])
        if not holds:
            self.failed.append(name)

    def show(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(len(self.rows[0]))]
        for number, row in enumerate(self.rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1])]
            verdict = row[-1]
            if COLOURS and verdict:
                verdict = f"\033[{31 if verdict == 'DIFFERENT' else 32}m{verdict}\033[0m"
            print("  " + "  ".join(cells + [verdict]).rstrip())
            if number == 0:
                print("  " + "-" * (sum(widths) + 2 * len(widths) - 2))
        print()


def compare_classes(expected, found):
    table = Table("records", "planned", "found")
    planned = dict(expected["classes"])
    extra = found["consumed"] - expected["records"]
    for name in CLASSES:
        if name == "duplicate":
            # A client's own retry may write a record twice; it must then be a duplicate, nothing else.
            table.add("duplicate (+ clients' retries)", f"{planned[name]}+{extra}", found[name],
                      holds=extra >= 0 and found[name] == planned[name] + extra)
        else:
            table.add(name, planned[name], found[name], holds=found[name] == planned[name])
    table.add("all but duplicates", expected["records"] - planned["duplicate"],
              found["consumed"] - found["duplicate"],
              holds=found["consumed"] - found["duplicate"] == expected["records"] - planned["duplicate"])
    for name in ("skipped", "lost"):
        table.add(name, 0, found[name], holds=found[name] == 0)
    table.show()
    return table.failed


def compare_meters(expected, postgres, stripe_names, stripe):
    table = Table("meter", "generator", "Postgres", "of which with a Stripe customer", "Stripe")
    for meter, planned in sorted(expected["meters"].items()):
        total = postgres.get(meter, {}).get("total", "0")
        exportable = postgres.get(meter, {}).get("exportable", "0")
        event_name = stripe_names.get(meter)
        sent = stripe["meters"].get(event_name, {}).get("total", "0") if event_name else "not mapped"
        holds = Decimal(planned["total"]) == Decimal(total)
        holds = holds and Decimal(planned["exportable"]) == Decimal(exportable)
        if event_name:
            holds = holds and Decimal(sent) == Decimal(exportable)
            sent = plain(sent)
        table.add(meter, plain(planned["total"]), plain(total), plain(exportable), sent, holds=holds)
    table.show()
    return table.failed


def compare_customers(expected, stripe_names, stripe):
    """Each customer and meter on its own: sums may agree while two customers are mixed up."""
    table = Table("customer totals", "generator", "Stripe")
    failed = []
    for meter, event_name in sorted(stripe_names.items()):
        sent = stripe["meters"].get(event_name, {}).get("customers", {})
        planned = {customer: meters[meter] for customer, meters in expected["customers"].items()
                   if Decimal(meters.get(meter, "0")) != 0}
        wrong = [customer for customer in sorted(set(planned) | set(sent))
                 if Decimal(planned.get(customer, "0")) != Decimal(sent.get(customer, "0"))]
        equal = len(set(planned) & set(sent) - set(wrong))
        table.add(meter, f"{len(planned)} customers", f"{equal} equal", holds=not wrong)
        failed += [f"{meter} of {customer}: generator {planned.get(customer, '0')}, Stripe {sent.get(customer, '0')}"
                   for customer in wrong[:5]]
    table.show()
    for line in failed:
        print(f"  {line}")
    return table.failed


def read_postgres(psql, conninfo):
    ledger = query(psql, conninfo, "SELECT " + ", ".join(
        f"sum({name}) AS {name}" for name in CLASSES + ["consumed", "skipped", "lost"]) + " FROM finance.ledger")[0]
    counters = query(psql, conninfo, """
        SELECT u.meter, sum(u.quantity) AS total,
               coalesce(sum(u.quantity) FILTER (WHERE t.stripe_customer IS NOT NULL), 0) AS exportable
        FROM finance.usage_by_hour u LEFT JOIN tally.tenant t ON t.tenant = u.tenant GROUP BY u.meter""")
    gauges = query(psql, conninfo, """
        SELECT l.meter, sum(l.reading) AS total,
               coalesce(sum(l.reading) FILTER (WHERE t.stripe_customer IS NOT NULL), 0) AS exportable
        FROM (SELECT DISTINCT ON (tenant, meter, dimensions) tenant, meter, reading FROM tally.gauge_window
              ORDER BY tenant, meter, dimensions, read_at DESC, tiebreak DESC) l
        LEFT JOIN tally.tenant t ON t.tenant = l.tenant GROUP BY l.meter""")
    names = query(psql, conninfo, "SELECT slug, stripe_event_name FROM tally.meter WHERE stripe_event_name IS NOT NULL")
    return ({name: int(value or 0) for name, value in ledger.items()},
            {row["meter"]: row for row in counters + gauges},
            {row["slug"]: row["stripe_event_name"] for row in names})


def main():
    psql, conninfo, expected_path, stripe_path = sys.argv[1:]
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    with open(stripe_path, encoding="utf-8") as file:
        stripe = json.load(file)
    ledger, meters, names = read_postgres(psql, conninfo)
    print()
    failed = compare_classes(expected, ledger)
    failed += compare_meters(expected, meters, names, stripe)
    failed += compare_customers(expected, names, stripe)
    if failed:
        print("different: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
