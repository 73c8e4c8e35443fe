"""A good and a bad run, written by hand, through what each bench holds against its bars: a wrong divisor or a wrong
side of a bar would show here."""

import contextlib
import io
import types
import unittest
from decimal import Decimal

import exporter
import freshness
import pipeline
import reads
import scale
from figures import judge
from scale import MARGIN, MILLION
from stand import check_totals


def missed(figures):
    with contextlib.redirect_stdout(io.StringIO()):
        return judge(figures)[0]


class Bars(unittest.TestCase):
    def hold(self, figures, names):
        self.assertEqual(([figure.what for figure in figures], missed(figures)), (names, []))

    def miss_one_each(self, figures_of, good, worse):
        """`worse`: for each figure what makes it alone miss."""
        names = [figure.what for figure in figures_of(**good)]
        self.hold(figures_of(**good), names)
        self.assertEqual([missed(figures_of(**{**good, **change})) for change in worse], [[name] for name in names])


class Pipeline(Bars):
    """12,000,000 events at just the bars."""

    @staticmethod
    def of(shape="plain", rate=1_176_000, cpu=13.2, postgres=4.8, peak=1_000.0, records=12_000_000):
        arguments = types.SimpleNamespace(shape=shape, records=records)
        bare = [{"rate": 2_800_000}] * 3
        tally = [{"rate": rate, "cpu_seconds": cpu, "postgres_cpu": postgres, "peak_mb": peak, "dedup_mb": 300.0}] * 3
        return pipeline.figures(arguments, bare, tally)

    def test_plain(self):
        self.miss_one_each(self.of, {}, [{"cpu": 13.3}, {"postgres": 4.9}, {"rate": 1_175_000}, {"peak": 1_001.0}])

    def test_wide(self):
        self.miss_one_each(self.of, {"shape": "wide", "rate": 336_000, "postgres": 48.0},
                           [{"rate": 335_000}, {"postgres": 48.1}])

    def test_cpu_is_of_each_million(self):
        self.assertEqual(missed(self.of(records=6_000_000)), ["the aggregator", "Postgres"])

    def test_the_ratio_is_taken_within_a_round(self):
        bare, tally = ([{"rate": rate} for rate in rates] for rates in ((100, 200, 900), (50, 200, 90)))
        self.assertEqual(pipeline.ratio_of(bare, tally), 0.5)  # median over median would be 0.45

    def test_the_first_bare_read_is_in_no_round(self):
        reads_of_log = iter(range(10))
        self.assertEqual(list(pipeline.alternate(2, lambda: next(reads_of_log), lambda number: f"run {number}")),
                         [(1, "run 0"), (2, "run 1")])

    def test_one_bad_round_of_three_decides_nothing_but_the_peak(self):
        good = {"rate": 1_176_000, "cpu_seconds": 13.2, "postgres_cpu": 4.8, "peak_mb": 900.0, "dedup_mb": 300.0}
        bad = {"rate": 100_000, "cpu_seconds": 99.0, "postgres_cpu": 99.0, "peak_mb": 9_000.0, "dedup_mb": 300.0}
        arguments = types.SimpleNamespace(shape="plain", records=12_000_000)
        self.assertEqual(missed(pipeline.figures(arguments, [{"rate": 2_800_000}] * 3, [good, bad, good])),
                         ["peak RssAnon without the dedup memory"])


class Reads(Bars):
    @staticmethod
    def of(month=1.0, days=20.0):
        """The slowest of a hundred does not count for p99, the one before it does."""
        return reads.figures([0.0001] * 98 + [month / 1000, 9.0], [0.001] * 98 + [days / 1000, 9.0])

    def test_each_can_be_missed(self):
        self.miss_one_each(self.of, {}, [{"month": 1.01}, {"days": 20.1}])


    def test_the_page_has_the_timings_and_both_plans(self):
        self.assertEqual(reads.timings("month", [0.001, 0.002]), ("month", "2", "1.00", "2.00", "2.00"))
        page = reads.markdown("ten rows", [("question", "p99 ms"), ("month", "0.3")],
                              {"month to date": "Index Scan\n  -> all", "days": "Sort"})
        self.assertEqual(page, "ten rows\n\n| question | p99 ms |\n|---|---|\n| month | 0.3 |\n\n"
                               "Month to date, as Postgres explains it:\n\n```\nIndex Scan\n  -> all\n```\n\n"
                               "Days, as Postgres explains it:\n\n```\nSort\n```\n")


class Freshness(Bars):
    @staticmethod
    def of(p50=700, p99=1500, p99_short=250, published=99_000, published_short=99_000):
        return freshness.figures(types.SimpleNamespace(rate=100_000), [
            {"interval_ms": 1000, "readable_ms": {"p50": p50, "p99": p99}, "published_per_second": published},
            {"interval_ms": 100, "readable_ms": {"p50": 9_999, "p99": p99_short},
             "published_per_second": published_short}])

    def test_each_can_be_missed(self):
        self.miss_one_each(self.of, {}, [{"p50": 701}, {"p99": 1501}, {"published": 98_999}, {"p99_short": 251},
                                         {"published_short": 98_999}])


class Scale(Bars):
    """Three millions between the margins."""

    @staticmethod
    def of(hot_cpu=1.05, budget_cpu=1.05, beside_dedup=250e6, under_budget=210e6, last_third=10.5, two=1.1):
        def run(old_of_young, last_rss, last_dedup):
            return {"in_turns": {"old_of_young": old_of_young},
                    "memory": [(MARGIN, 210e6, 10e6), (MARGIN + 2 * MILLION, 200e6, 20e6),
                               (MARGIN + 3 * MILLION, last_rss, last_dedup)],
                    "database": [(MARGIN, 900e6), (MARGIN + MILLION, 910e6), (MARGIN + 2 * MILLION, 920e6),
                                 (MARGIN + 3 * MILLION, 920e6 + last_third * MILLION)]}
        pairs = [({"cpu_per_million": one}, {"cpu_per_million": one * ratio})
                 for one, ratio in ((1.0, two), (5.0, 0.1), (2.0, 9.0))]
        return scale.figures(types.SimpleNamespace(records=3 * MILLION),
                             run(hot_cpu, beside_dedup + 20e6, 20e6), run(budget_cpu, under_budget * 1.05, 20e6), pairs)

    def test_each_can_be_missed(self):
        self.miss_one_each(self.of, {}, [{"hot_cpu": 1.06}, {"budget_cpu": 1.06}, {"beside_dedup": 251e6},
                                         {"under_budget": 212e6}, {"last_third": 10.6}, {"two": 1.11}])


class Exporter(Bars):
    @staticmethod
    def of(first=2.0, seconds=30.0, delivered=28_501, peak=150.0):
        return exporter.figures(1_000.0, 1_000.0 + first, 1_000.0 + first + seconds, delivered, peak)

    def test_each_can_be_missed(self):
        self.miss_one_each(self.of, {}, [{"delivered": 28_500}, {"first": 2.1}, {"peak": 150.1}])

    def test_what_stripe_has_is_held_against_the_windows(self):
        customer = exporter.customer_of
        meters = {f"bench_{slug}": {"customers": {customer(t): str(exporter.expected_of(t)) for t in range(3)}}
                  for slug in exporter.METERS}
        arguments = types.SimpleNamespace(tenants=3)

        def problem():
            return exporter.check(arguments, types.SimpleNamespace(ask=lambda path: {"meters": meters}))
        self.assertIsNone(problem())
        meters["bench_tokens"]["customers"][customer(2)] = "327.001"
        self.assertIn("Stripe has 327.001, the windows 327.000", problem() or "")
        del meters["bench_calls"]["customers"][customer(1)]
        self.assertIn("2 customers of 3", problem())


class FakePsql:
    """Answers with what a database would hold; `rows`: of the windows, the days and the months."""

    def __init__(self, ledger, rows):
        self.ledger, self.rows = ledger, rows

    def value(self, sql):
        if "tally.ledger" in sql:
            return self.ledger
        kind = "window" if "usage_window" in sql else "day" if "'day'" in sql else "month"
        return ",".join(self.rows[kind]) or "null"


class Totals(unittest.TestCase):
    DAY = 1_763_596_800  # 2025-11-20
    EXPECTED = {"records": 10, "classes": {"counted": 8, "duplicate": 2, "conflict": 0, "late": 0, "rejected": 0},
                "windows": {("a", "calls", DAY): (Decimal("5"), 5), ("a", "calls", DAY + 3600): (Decimal("1"), 1),
                            ("b", "tokens", DAY + 86_400): (Decimal("7.250"), 2)}}
    MONTH = 1_761_955_200  # 2025-11-01
    ROWS = {"window": [f"a calls {DAY} 5 5", f"a calls {DAY + 3600} 1.0 1", f"b tokens {DAY + 86_400} 7.25 2"],
            "day": [f"a calls {DAY} 6 6", f"b tokens {DAY + 86_400} 7.25 2"],
            "month": [f"a calls {MONTH} 6 6", f"b tokens {MONTH} 7.25 2"]}

    def problem(self, ledger="8 2 0 0 0 10", **rows):
        return check_totals(FakePsql(ledger, {**self.ROWS, **rows}), self.EXPECTED)

    def test_the_generators_totals_are_right(self):
        self.assertIsNone(self.problem())

    def test_each_class_of_the_ledger_is_the_generators(self):
        for ledger in ("8 1 0 0 0 10", "8 2 1 0 0 10", "8 2 0 1 0 10", "8 2 0 0 1 10", "8 2 0 0 0 11"):
            self.assertIn("ledger: counted, duplicate, conflict", self.problem(ledger=ledger))

    def test_the_same_sum_at_another_tenant_hour_or_day_is_wrong(self):
        first, second, third = self.ROWS["window"]
        for wrong in ([first, second, third.replace("b", "c")], [first, second, third.replace("tokens", "calls")],
                      [first.replace(" 5 5", " 4 5"), second.replace("1.0", "2.0"), third],
                      [first.replace(" 5 5", " 5 4"), second.replace(" 1", " 2"), third],
                      [f"a calls {self.DAY} 6 6", third], [first, second], []):
            self.assertIn("window of", self.problem(window=wrong))
        self.assertEqual(self.problem(window=[first, second, third.replace("7.25", "7.251")]),
                         "window of b, tokens, 2025-11-21T00:00Z: 7.251 in 2 events, the generator's 7.250 in 2")

    def test_what_finance_reads_is_right_too(self):
        self.assertIn("total of the day of a, calls", self.problem(day=self.ROWS["day"][1:]))
        self.assertIn("total of the month of b", self.problem(month=[self.ROWS["month"][0]]))


if __name__ == "__main__":
    unittest.main()
