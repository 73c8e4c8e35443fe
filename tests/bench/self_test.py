"""What the benches conclude from what they looked at, on looks written by hand: a bench that cannot miss is none."""

import contextlib
import io
import tempfile
import unittest
import xml.dom.minidom

from figures import Figure, between, conclude, judge, percentile
from freshness import first_beyond
from plot import Line, Panel, ticks, write_svg
from producer_http import problems_of_half, problems_of_part, wait_ms_of_half
from producer_library import figures_of, share_of_bare
from scale import MARGIN, MILLION, Thirds, Watch, cpu_by_records


def quietly(what, *arguments, **named):
    """Its result and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return what(*arguments, **named), printed.getvalue()


def run_of(cpu, memory=(), database=()):
    return {"cpu_of_each_million": cpu, "memory": list(memory), "database": list(database)}


class Judging(unittest.TestCase):
    CEILING = Figure("slow", 1.1, 1.2, "CPU-s", 2)
    FLOOR = Figure("share", 0.42, 0.41, "", 2, least=True)

    def test_a_figure_is_held_up_to_its_bar(self):
        self.assertTrue(self.CEILING._replace(measured=1.1).held())
        self.assertFalse(self.CEILING.held())
        self.assertTrue(self.FLOOR._replace(measured=0.42).held())
        self.assertFalse(self.FLOOR.held())

    def test_what_was_missed_is_named_and_decides_the_exit_code(self):
        held = Figure("quick", 1, 1, "s", 0)
        (missed, out), printed = quietly(judge, [held, self.CEILING, self.FLOOR])
        self.assertEqual(missed, ["slow", "share"])
        self.assertEqual([figure["held"] for figure in out], [True, False, False])
        self.assertIn("at least 0.42", printed)
        code, printed = quietly(conclude, "some", [], missed)
        self.assertEqual(code, 1)
        self.assertIn("missed: slow; share", printed)
        self.assertEqual(quietly(conclude, "some", [], [])[0], 0)

    def test_wrong_totals_fail_whatever_the_bars_say(self):
        self.assertEqual(quietly(conclude, "some", ["meter a: 1, the generator's 2"], [], "too few")[0], 1)

    def test_a_run_too_small_is_not_judged(self):
        (missed, out), printed = quietly(judge, [self.CEILING], judged=False)
        self.assertEqual((missed, out[0]["held"]), ([], None))
        self.assertIn("not judged", printed)


class Looking(unittest.TestCase):
    def test_percentiles_are_values_that_were_measured(self):
        values = list(range(1, 101))
        self.assertEqual([percentile(values, share) for share in (0.5, 0.99, 1)], [50, 99, 100])
        self.assertEqual(percentile([1, 2, 3], 0.5), 2)
        self.assertEqual(percentile([7], 0.99), 7)

    def test_a_record_is_readable_once_next_offset_is_beyond_it(self):
        offsets, moments = [0, 5, 9], [10, 20, 30]
        self.assertEqual([first_beyond(offsets, moments, offset) for offset in (0, 4, 5, 8)], [20, 20, 30, 30])
        with self.assertRaises(IndexError):
            first_beyond(offsets, moments, 9)

    def test_between_two_looks_all_grows_evenly(self):
        pairs = [(0, 0), (10, 100), (10, 120), (20, 220)]
        self.assertEqual([between(pairs, x) for x in (0, 5, 15, 20)], [0, 50, 170, 220])

    def test_cpu_counts_from_the_first_record(self):
        watch = Watch(None, [], None)
        watch.cpu = [(0, 0), (10, 1), (20, 3), (30, 5)]
        watch.commits = [(20, 100), (30, 300)]
        self.assertEqual(cpu_by_records(watch, 10), [(0, 0), (100, 2), (300, 4)])


class ThirdsOfARun(unittest.TestCase):
    def test_the_last_third_is_held_against_the_first(self):
        self.assertAlmostEqual(Thirds(run_of([1, 1, 9, 9, 2, 1]), 6 * MILLION).cpu(), 1.5)

    def test_memory_beside_the_dedup_memory(self):
        memory = [(MARGIN, 100e6, 10e6), (MARGIN + 2 * MILLION, 300e6, 20e6), (MARGIN + 3 * MILLION, 170e6, 40e6)]
        thirds = Thirds(run_of([1, 1, 1], memory), 3 * MILLION)
        self.assertAlmostEqual(thirds.grown_beside_dedup_mb(), 190)
        self.assertAlmostEqual(thirds.grown_after_budget(), 3)

    def test_bytes_per_event(self):
        database = [(MARGIN, 900e6), (MARGIN + MILLION, 40e6), (MARGIN + 3 * MILLION, 160e6)]
        self.assertAlmostEqual(Thirds(run_of([1, 1, 1], (), database), 3 * MILLION).bytes_per_event(), 2)


class Producers(unittest.TestCase):
    @staticmethod
    def rounds(*paces):
        return [{"unpaced": {"events_per_second": ours}, "bare": {"events_per_second": bare}} for ours, bare in paces]

    def test_a_share_is_taken_within_a_round(self):
        self.assertEqual(share_of_bare(self.rounds((90, 100), (10, 20), (900, 1000))), 0.9)

    def test_each_figure_of_the_library_can_be_missed(self):
        good = {"p50_ns": 250, "p999_ns": 5_000, "events_per_second": 198_000, "dropped": 0}
        self.assertTrue(all(figure.held() for figure in figures_of(good, self.rounds((80, 100)))))
        bad = {"p50_ns": 251, "p999_ns": 5_001, "events_per_second": 197_000, "dropped": 1}
        self.assertFalse(any(figure.held() for figure in figures_of(bad, self.rounds((79, 100)))))


class HttpProducers(unittest.TestCase):
    FOUND = {"bad_status": 0, "socket_errors": 0}

    def test_what_was_kept_is_in_the_log_and_all_is_answered_202(self):
        def problems(kept, records, **told):
            return list(problems_of_part("http-acked-1", {**self.FOUND, **told}, kept, records))
        self.assertEqual(problems(100, 100), [])
        self.assertEqual(problems(100, 101), [])  # one whose answer did not come
        self.assertEqual(problems(100, 99), ["http-acked-1: 100 events were kept, the broker has 99"])
        self.assertEqual(problems(1, 1, bad_status=2), ["http-acked-1: 2 answers were not 202, 0 never came"])
        self.assertEqual(problems(1, 1, socket_errors=3), ["http-acked-1: 0 answers were not 202, 3 never came"])

    @staticmethod
    def half(answer_ms):
        """What 512 connections send that wait for half of 40,000/s, when each answer takes so long."""
        one = {"acked": {"requests_per_second": 40_000}}
        one["half"] = {"requests_per_second": 512 / (wait_ms_of_half(one) + answer_ms) * 1e3}
        return list(problems_of_half(3, one))

    def test_slow_answers_are_no_half_load(self):
        self.assertEqual(self.half(answer_ms=5), [])
        self.assertEqual(self.half(answer_ms=8), [])
        self.assertEqual(self.half(answer_ms=9.9),
                         ["round 3: 0.92 of half load was sent: its latencies leave out the waiting"])


class Plotting(unittest.TestCase):
    def test_ticks_are_round_and_reach_the_highest(self):
        self.assertEqual(ticks(30), [0, 5, 10, 15, 20, 25, 30])
        self.assertGreaterEqual(ticks(0.37)[-1], 0.37)
        self.assertEqual(len(ticks(0)), 2)

    def test_the_plot_is_xml_with_a_line_for_each_series(self):
        with tempfile.TemporaryDirectory() as folder:
            write_svg(f"{folder}/a.svg", [Panel("a < b", "x", [Line("one", [(0, 1), (2, 3)]), Line("none", [])])])
            page = xml.dom.minidom.parse(f"{folder}/a.svg")
        lines = page.getElementsByTagName("polyline")
        self.assertEqual([line.getAttribute("points").count(",") for line in lines], [2, 0])


if __name__ == "__main__":
    unittest.main()
