"""Measures how long finance waits for its figures.

Called by reads.sh. A month of hourly windows, each with 14 models, is put into the tables of totals in the order in which
commits would write it: hour by hour, all tenants of an hour together. So a tenant's month lies in as many places of
the table as it has hours. The questions are those that finance asks, over one connection, of tenants drawn at random; the
time is the client's, the way there and back included. What they answer is held against the sums that the rows were made of.
"""

import random
import subprocess
import sys
import time

from figures import Figure, conclude, judge, percentile, print_table
from stand import Psql, drop_database, fresh_database, make_catalogue, parse_arguments, run_sql, write_json

HOURS = 720
MODELS = 14
JUDGED_TENANTS = 1000  # with which there are ten million rows
ASKED = 1000
START = "2026-06-01T00:00:00Z"

FILL = """
INSERT INTO tally.usage_window (tenant, meter, window_start, window_end, dimensions, quantity, events)
SELECT 'tenant_' || lpad(t::text, 4, '0'), 'tokens', h, h + interval '1 hour',
       '{{"model":"model-' || m || '"}}', t + m + 0.5, 1
  FROM generate_series('{start}'::timestamptz, '{start}'::timestamptz + interval '{hours} hours', '1 hour') h,
       generate_series(0, {tenants} - 1) t, generate_series(1, {models}) m
 WHERE h < '{start}'::timestamptz + interval '{hours} hours'
 ORDER BY h, t, m
"""
TOTALS = """
INSERT INTO tally.usage_total (tenant, meter, span, span_start, span_end, first_date, quantity, events)
SELECT tenant, meter, '{span}', s, s + interval '1 {span}', s::date, sum(quantity), sum(events)
  FROM (SELECT *, date_trunc('{span}', window_start) AS s FROM tally.usage_window) w GROUP BY tenant, meter, s
"""
MONTH_TO_DATE = ("SELECT quantity FROM finance.usage_by_month "
                 "WHERE tenant = '{tenant}' AND meter = 'tokens' AND month = '2026-06-01'")
BY_DAY_AND_MODEL = ("SELECT count(DISTINCT (day, dimensions->>'model')) || ' ' || sum(quantity) "
                    "FROM finance.usage_by_day_and_dimension('{tenant}', 'tokens', '2026-06-01', '2026-06-30')")


SIZE = "SELECT pg_total_relation_size('tally.usage_window')"

# The body of a function is planned on its own, so EXPLAIN of its call shows one line: its text is asked for, and explained.
BODY = "SELECT prosrc FROM pg_proc WHERE oid = 'finance.usage_by_day_and_dimension'::regproc"
PREPARED = "PREPARE days (text, text, date, date) AS {body}"
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}"


def plans(arguments, conninfo, tenant):
    """What Postgres does for either question, as it says itself."""
    def ask_psql(*statements):
        command = [arguments.psql, "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()

    body = ask_psql(BODY)
    month = EXPLAIN.format(statement=MONTH_TO_DATE.format(tenant=tenant))
    days = EXPLAIN.format(statement=f"EXECUTE days ('{tenant}', 'tokens', '2026-06-01', '2026-06-30')")
    return ask_psql(month), ask_psql(PREPARED.format(body=body), days)


def timings(name, took):
    """Of sorted seconds, for people."""
    return (name, f"{len(took):,}", *(f"{1000 * value:.2f}" for value in
                                      (percentile(took, 0.5), percentile(took, 0.99), took[-1])))


def markdown(about, rows, explained):
    """The timings and Postgres' account of each question, to be pasted into docs/performance."""
    out = [about, ""]
    for number, row in enumerate(rows):
        out.append(f"| {' | '.join(row)} |")
        if number == 0:
            out.append("|---" * len(row) + "|")
    for name, plan in explained.items():
        out += ["", f"{name[0].upper()}{name[1:]}, as Postgres explains it:", "", "```", *plan.splitlines(), "```"]
    return "\n".join(out) + "\n"


def sum_of(tenant):
    return HOURS * sum(tenant + model + 0.5 for model in range(1, MODELS + 1))


def ask(psql, question, tenants, expected):
    """Seconds of each, sorted, and what was answered wrongly."""
    took, wrong = [], []
    for tenant in tenants:
        sql = question.format(tenant=f"tenant_{tenant:04}")
        started = time.perf_counter()
        answer = psql.value(sql)
        took.append(time.perf_counter() - started)
        if answer != expected(tenant):
            wrong.append(f"tenant {tenant}: {answer}, expected {expected(tenant)}")
    return sorted(took), wrong


def figures(month, days):
    """Of seconds that each question took, sorted."""
    return [Figure("month to date, p99", 1, 1000 * percentile(month, 0.99), "ms", 2),
            Figure("month by day and model, p99", 20, 1000 * percentile(days, 0.99), "ms", 2)]


def main():
    arguments = parse_arguments(["tenants"])
    make_catalogue(arguments)
    conninfo = fresh_database(arguments, "reads")
    print(f"==> writing {arguments.tenants * HOURS * MODELS:,} windows", flush=True)
    run_sql(arguments, conninfo, FILL.format(start=START, hours=HOURS, tenants=arguments.tenants, models=MODELS),
            TOTALS.format(span="day"), TOTALS.format(span="month"), "VACUUM ANALYZE")
    psql = Psql(arguments.psql, conninfo)
    drawn = random.Random(7)
    tenants = [drawn.randrange(arguments.tenants) for _ in range(ASKED)]
    psql.value("SELECT 1")
    month, wrong = ask(psql, MONTH_TO_DATE, tenants, lambda tenant: f"{sum_of(tenant):.1f}")
    days, wrong_days = ask(psql, BY_DAY_AND_MODEL, tenants[:200],
                           lambda tenant: f"{30 * MODELS} {sum_of(tenant):.1f}")
    rows = [("question", "asked", "p50 ms", "p99 ms", "longest ms"),
            timings("month to date of a tenant and meter", month), timings("month by day and model", days)]
    print_table(rows)
    explained = dict(zip(("month to date", "month by day and model"),
                         plans(arguments, conninfo, f"tenant_{tenants[0]:04}")))
    about = (f"{arguments.tenants * HOURS * MODELS:,} windows, "
             f"{int(psql.value(SIZE)) / 1e6:,.0f} MB with their indexes; shared_buffers "
             f"{psql.value('SELECT current_setting($$shared_buffers$$)')}.")
    page = markdown(about, rows, explained)
    print("\n" + page)
    with open(arguments.json.replace(".json", ".md"), "w", encoding="utf-8") as file:
        file.write(page)
    judged = arguments.tenants >= JUDGED_TENANTS
    missed, out = judge(figures(month, days), judged)
    write_json(arguments, {"windows": arguments.tenants * HOURS * MODELS, "figures": out, "timings": rows,
                           "explained": explained})
    print(f"\n  the page above stands in {arguments.json.replace('.json', '.md').rpartition('.tally/')[2]} too")
    psql.close()
    drop_database(arguments, "reads")
    return conclude("reads", wrong + wrong_days, missed,
                    None if judged else f"with {arguments.tenants} tenants the bars do not apply")


if __name__ == "__main__":
    sys.exit(main())
