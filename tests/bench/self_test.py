"""What the benches conclude from what they looked at, on looks written by hand: a bench that cannot miss is none."""

import contextlib
import io
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock
import xml.dom.minidom

from figures import Figure, between, conclude, judge, percentile
from freshness import first_beyond
from plot import Line, Panel, ticks, write_svg
from producer_http import problems_of_half, problems_of_part, wait_ms_of_half
from producer_library import figures_of, share_of_bare
from scale import (MARGIN, MILLION, Share, Thirds, Watch, added_per_event, budget_problem, cpu_by_records,
                   figures as figures_of_scale, sharing_problem)
from stand import holdings, records_of
from turns import Player, Turn, old_of_young, single_ratios, take_turns


def quietly(what, *arguments, **named):
    """Its result and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return what(*arguments, **named), printed.getvalue()


def run_of(memory=(), database=()):
    return {"memory": list(memory), "database": list(database)}


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
    def test_memory_beside_the_dedup_memory(self):
        memory = [(MARGIN, 100e6, 10e6), (MARGIN + 2 * MILLION, 300e6, 20e6), (MARGIN + 3 * MILLION, 170e6, 40e6)]
        thirds = Thirds(run_of(memory), 3 * MILLION)
        self.assertAlmostEqual(thirds.grown_beside_dedup_mb(), 190)
        self.assertAlmostEqual(thirds.grown_after_budget(), 3)

    def test_bytes_per_event_are_those_that_a_third_added(self):
        def grown(last_third, fixed=0):
            database = [(MARGIN * n // 4, fixed + 10 * MARGIN * n // 4) for n in range(4, 13)]
            database += [(records, size + (last_third - 10) * (records - 3 * MARGIN))
                         for records, size in ((MARGIN * n // 4, fixed + 10 * MARGIN * n // 4) for n in range(13, 17))]
            return Thirds(run_of((), database), 3 * MILLION).bytes_per_event()
        self.assertAlmostEqual(grown(10), 1)
        self.assertAlmostEqual(grown(12), 1.2)
        self.assertAlmostEqual(grown(12, fixed=80 * MARGIN), 1.2)  # which a size over all events would hide

    def test_a_budget_that_is_not_reached_before_the_last_third_is_wrong(self):
        arguments = types.SimpleNamespace(records=6 * MILLION, budget_mb=64)
        self.assertIsNone(budget_problem(MARGIN + 4 * MILLION, arguments))
        self.assertIn("after 5.1 M events", budget_problem(MARGIN + 4.1 * MILLION, arguments))
        self.assertIn("64 MB was reached never", budget_problem(None, arguments))

    def test_the_plot_shows_what_was_added_since_the_look_before(self):
        self.assertEqual(added_per_event([(10, 100), (20, 150), (20, 160)]), [(10, 10), (20, 5)])


class Sharing(unittest.TestCase):
    """Two instances are two only if each did its half from the beginning on."""
    LEFT, RIGHT = [(5, {0}), (6, {0, 2})], [(6, {1, 3})]

    @staticmethod
    def problem(*shares, first_commit=10):
        return sharing_problem([Share(*share) for share in shares], 4, first_commit, 1_000)

    def test_each_has_its_half(self):
        self.assertIsNone(self.problem((self.LEFT, 510), (self.RIGHT, 490)))
        self.assertIsNone(self.problem(([(6, {0, 1}), (11, {0, 1, 2, 3})], 1_000)))

    def test_an_instance_that_does_nothing_or_comes_late_is_wrong(self):
        self.assertIn("instance 2 held 0 of 4", self.problem((self.LEFT, 510), ([], 490)))
        self.assertIn("instance 1 held 4 of 4", self.problem(([(6, {0, 1, 2, 3})], 1_000), ([], 0)))
        self.assertIn("instance 1 held 1 of 4",
                      self.problem((self.LEFT, 510), (self.RIGHT, 490), first_commit=5.5))

    def test_partitions_that_move_on_the_way_are_wrong(self):
        moved = [*self.RIGHT, (12, {1}), (13, {1, 3})]
        self.assertIn("instance 2 changed", self.problem((self.LEFT, 510), (moved, 490)))

    def test_an_instance_that_holds_and_hardly_reads_is_wrong(self):
        self.assertIn("instance 2 of 2 committed 100 of 1,000", self.problem((self.LEFT, 900), (self.RIGHT, 100)))

    def test_what_an_instance_held_stands_in_its_log(self):
        lines = [("00.100", "partition_acquired", 0), ("00.300", "partition_revoked", 0), ("00.200", "session_open", 9),
                 ("00.250", "partition_acquired", 2)]
        with tempfile.NamedTemporaryFile("w+") as log:
            for second, event, partition in lines:
                print(f'{{"time":"2026-11-22T10:00:{second}Z","event":"{event}","partition":"{partition}"}}', file=log)
            log.flush()
            found = holdings(log.name)
        self.assertEqual([held for _, held in found], [{"0"}, {"0", "2"}, {"2"}])
        self.assertAlmostEqual(found[2][0] - found[0][0], 0.2, 3)

    def test_a_record_that_was_handed_over_counts_once(self):
        def of(**classes):
            return [(f'worker="0",class="{name}"', value) for name, value in classes.items()]
        self.assertEqual(records_of(of(counted=90.0, duplicate=5.0, handed_off=4.0, received=3.0, skipped=7.0, lost=2.0)
                                    + of(counted=10.0)), 106)


def turns_of(count, of_old, of_young, slower=0.0):
    """Of a million each; the machine needs `slower` more CPU-seconds in each turn than in the one before it."""
    return [Turn("young" if number % 2 else "old", 2.0 * number, 2.0, number // 2 * MILLION, MILLION,
                 (of_young if number % 2 else of_old) * (1 + slower * number)) for number in range(count)]


class FakePlayer:
    """Takes its turn at once, and writes down that it did."""

    def __init__(self, who, turns, step=MILLION, loses_partitions_after=None):
        self.who, self.turns, self.step, self.loses_after = who, turns, step, loses_partitions_after
        self.watch = types.SimpleNamespace(consumed=lambda: self.records)
        self.records = self.played = 0

    def play(self, _seconds):
        self.turns.append(self.who)
        self.played += 1
        self.records += self.step
        return Turn(self.who, 0.0, 2.0, self.records - self.step, self.step, 1.0)

    @staticmethod
    def idle():
        return True

    def joins(self):
        return 2 if self.loses_after and self.played > self.loses_after else 1


class OldAndYoung(unittest.TestCase):
    """The figure of scale's CPU per event."""

    @staticmethod
    def judged(turns):
        run = {**run_of([(MARGIN, 1e6, 0), (4 * MILLION, 1e6, 0)], [(MARGIN + MILLION, 1e6)]),
               "in_turns": {"old_of_young": old_of_young(turns)}}
        pair = {"cpu_per_million": 1}
        arguments = types.SimpleNamespace(records=3 * MILLION)
        return quietly(judge, figures_of_scale(arguments, run, run, [(pair, pair)]))[0][0]

    def test_an_old_one_that_costs_more_misses_the_bar(self):
        self.assertEqual([what.split(",")[0] for what in self.judged(turns_of(9, 1.06, 1.0))],
                         ["CPU per event of the last third"] * 2)
        self.assertEqual(self.judged(turns_of(9, 1.04, 1.0)), [])

    def test_a_machine_that_grows_slower_all_the_while_decides_nothing(self):
        self.assertAlmostEqual(old_of_young(turns_of(9, 1.0, 1.0, slower=0.05)), 1.0)
        self.assertAlmostEqual(old_of_young(turns_of(9, 1.1, 1.0, slower=-0.05)), 1.1)

    def test_a_turn_with_more_records_weighs_more(self):
        old, young, last = turns_of(3, 1.0, 1.0)
        self.assertAlmostEqual(old_of_young([old, young, last._replace(records=3 * MILLION)]), 0.5)

    def test_each_young_turn_has_its_own_ratio(self):
        turns = turns_of(5, 1.0, 0.5)
        self.assertEqual(single_ratios(turns), [2.0, 2.0])
        self.assertEqual(single_ratios([turns[0], turns[1]._replace(records=0), *turns[2:]]), [2.0])

    def test_turns_that_do_not_alternate_or_count_nothing_are_no_figure(self):
        turns = turns_of(5, 1.0, 1.0)
        for wrong in (turns[:1], turns[:4], turns[1:], [turns[0], *turns[:4]],
                      [turn._replace(records=0) for turn in turns]):
            with self.assertRaises(RuntimeError):
                old_of_young(wrong)

    @staticmethod
    def played(turns, **of_old):
        old, young = FakePlayer("old", turns, **of_old), FakePlayer("young", turns)
        return take_turns(old, young, 2.0, warm=lambda: young.records >= 3 * MILLION,
                          done=lambda: young.records >= 5 * MILLION, between=lambda: None)

    def test_nobody_has_two_turns_in_a_row_and_the_warm_ones_do_not_count(self):
        all_turns = []
        counted = self.played(all_turns)
        self.assertTrue(all(one != other for one, other in zip(all_turns, all_turns[1:])))
        self.assertEqual([turn.who for turn in counted], ["old", "young", "old", "young", "old"])
        self.assertEqual(counted[1].consumed, 3 * MILLION)

    def test_who_lost_its_partitions_between_its_turns_gives_no_figure(self):
        with self.assertRaises(RuntimeError):
            self.played([], loses_partitions_after=4)


class StandingStill(unittest.TestCase):
    """With a real process, a ledger and a list of transactions made up."""

    def setUp(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.consumed, self.paid, self.open = [], 0, []
        self.watch = types.SimpleNamespace(look=self.look, cpu=[], psql=self)
        self.player = Player("old", types.SimpleNamespace(process=self.process, log_path="its log"), self.watch)

    def look(self, _with_page):
        self.paid += 1
        self.watch.cpu.append((0, self.paid))
        return self.consumed.pop(0) if self.consumed else 0

    def value(self, _sql):
        """Postgres', asked how many transactions are open."""
        return str(self.open.pop(0)) if self.open else "0"

    def state(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]

    def test_it_is_stopped_when_no_transaction_is_open(self):
        self.open = [1, 0, 1, 0, 0, 7]
        with unittest.mock.patch("turns.AWAIT_IDLE_SECONDS", 600):
            self.player.rest()
        self.assertEqual((self.state(), self.open), ("T", [7]))

    def test_it_is_stopped_though_a_transaction_is_always_open(self):
        with unittest.mock.patch("turns.AWAIT_IDLE_SECONDS", 0):
            self.player.rest()
        self.assertEqual(self.state(), "T")

    def test_a_turn_reaches_from_a_commit_to_a_commit(self):
        self.consumed = [100, 100, 100, 250, 250]
        with unittest.mock.patch("turns.AWAIT_IDLE_SECONDS", 600):
            turns = [self.player.play(0), self.player.play(0)]
        self.assertEqual([(turn.consumed, turn.records, turn.cpu) for turn in turns], [(0, 100, 1), (100, 150, 3)])
        self.assertEqual(self.state(), "T")
        self.player.go_on()
        self.assertNotEqual(self.state(), "T")

    def test_a_process_that_ends_is_told(self):
        self.process.kill()
        with self.assertRaises(RuntimeError):
            self.player.halt()


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
