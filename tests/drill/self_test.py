"""The drill's books can disagree: each small lie is told to a balanced account, and must be named."""

import copy
import itertools
import os
import tempfile
import threading
import unittest
from types import SimpleNamespace
from unittest import mock

import books
from books import Book
from disk import BoundedSpools
from faults import Storm

TENANTS = 2


class Story:
    """Two streams after a storm, and what Postgres and the counters say of them."""

    def __init__(self, folder):
        # 0 and 1 kept, 2 refused, 3 unknown and there, 4 unknown and not there, 5 cut and there, 6 cut and not there.
        self.http = Story.book(folder, "http", "h", b"kkdllaa", [0, 1, 1, 3, 5])
        self.library = Story.book(folder, "library", "l", b"kkdln", [0, 1])
        self.books = [self.http, self.library]
        self.totals = {"tenant_0": (2, 0), "tenant_1": (4, 1 + 3 + 5 + 1)}
        self.ledger = {"counted": 6, "duplicate": 1, "conflict": 0, "consumed": 7}
        self.account = {"accepted": 4, "delivered": 2, "spooled": 0, "failed": 2, "dropped": 1, "closed": 0, "left": 0,
                        "spool": {"found": 0, "kept": 2, "delivered": 1, "refused": 0, "lost": 0, "torn": 0, "waiting": 1}}
        self.lives = {
            1: ({"kept": 1, "unknown": 1, "cut": 2, "refused": {"queue_full": 0}, "cut_requests": 1,
                 "answers": {"202": 1, "503": 1}},
                {"kept": 2, "not_kept": 0, "full": 0, "unknown": 1, "stray_ends": 0,
                 "answers": {"202": 1, "503": 1}}),
            2: ({"kept": 1, "unknown": 1, "cut": 0, "refused": {"not_all_kept": 1, "overloaded": 5}, "cut_requests": 0,
                 "answers": {"202": 1, "503": 2}},
                {"kept": 1, "not_kept": 1, "full": 0, "unknown": 1, "stray_ends": 0,
                 "answers": {"202": 1, "503": 2, "200": 7}}),
        }
        self.spool = {"found": 2, "kept": 1, "delivered": 3, "refused": 0, "lost": 0, "torn": 0, "waiting": 0}

    @staticmethod
    def book(folder, name, prefix, told, copies):
        path = f"{folder}/{prefix}"
        with open(path, "wb") as file:
            file.write(told + bytes(5))
        book = Book(name, prefix, path, len(told) + 5)
        book.read()
        for number in copies:
            book.saw(number)
        return book

    def differences(self):
        counted = sum(events for events, _ in self.totals.values())
        found = [line for book in self.books for line in books.of_the_log(book)]
        found += books.of_postgres(self.books, TENANTS, self.totals, self.ledger)
        found += books.of_the_library(self.library, self.account)
        for life, (told, metrics) in self.lives.items():
            found += books.of_a_life(f"life {life}", told, metrics, killed=life == 1)
        found += books.of_what_was_tried("daemon", {life: told for life, (told, _) in self.lives.items()}, 2)
        found += books.of_the_spool("daemon", self.spool, self.lives[2][0], self.http.records)
        if books.balance_of(self.books, counted):
            found.append("the account does not balance")
        return found


class Lies(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.story = Story(folder.name)

    def lie(self, tell, *words):
        story = copy.deepcopy(self.story)
        tell(story)
        found = "\n".join(story.differences())
        for word in words:
            self.assertIn(word, found)

    def test_the_truth_balances(self):
        self.assertEqual(self.story.differences(), [])
        self.assertEqual(books.figures_of(self.story.http),
                         {"offered": 7, "kept": 2, "refused": 1, "unknown": 2, "cut": 2, "unknown_in_log": 1,
                          "cut_in_log": 1, "in_log": 4, "copies": 1})

    def test_a_kept_event_that_is_not_in_the_log(self):
        def forget(story):
            story.http.copies[0] = 0
        self.lie(forget, "http: 1 kept, and not in the log: h-0", "totals of tenant_0", "classes")

    def test_a_refused_event_that_is_in_the_log(self):
        self.lie(lambda story: story.http.saw(2), "http: 1 refused for certain, and in the log: h-2")
        self.lie(lambda story: story.library.saw(4), "library: 1 refused for certain, and in the log: l-4")

    def test_an_event_that_nobody_sent(self):
        self.lie(lambda story: story.http.saw(8), "http: 1 in the log that were never sent")
        self.lie(lambda story: story.http.saw(1_000), "http: 1 in the log that were never sent")

    def test_totals_that_are_off(self):
        self.lie(lambda story: story.totals.update(tenant_0=(3, 0)), "totals of tenant_0", "does not balance")
        self.lie(lambda story: story.totals.update(tenant_0=(2, 1)), "totals of tenant_0")
        self.lie(lambda story: story.totals.pop("tenant_0"), "totals of tenant_0", "does not balance")

    def test_records_in_another_class(self):
        self.lie(lambda story: story.ledger.update(duplicate=0, conflict=1), "classes")
        self.lie(lambda story: story.ledger.update(consumed=8), "classes")

    def test_a_counter_of_the_library(self):
        for name in self.story.account.keys() - {"spool"}:
            self.lie(lambda story, name=name: story.account.update({name: story.account[name] + 1}), "library: told")
        for name in ("found", "kept", "refused", "lost", "torn"):
            self.lie(lambda story, name=name: story.account["spool"].update({name: 7}), "library: told")

    def test_an_event_of_the_library_without_an_end(self):
        def forget(story):
            story.library.told = b"kkdla"
        self.lie(forget, "without an end")

    def test_counters_of_the_last_life(self):
        for name in ("kept", "not_kept", "full", "unknown"):
            self.lie(lambda story, name=name: story.lives[2][1].update({name: 4}), "life 2")
        self.lie(lambda story: story.lives[2][1]["answers"].update({"202": 2}), "life 2: answers 202")
        self.lie(lambda story: story.lives[2][0].update(cut_requests=1), "life 2: cut requests")

    def test_what_was_not_kept_is_no_refusal_at_the_bound(self):
        self.lie(lambda story: story.lives[2][1].update(not_kept=0, full=1), "told that 1 are not kept, it counted 0")

    def test_an_end_that_came_twice(self):
        for life in 1, 2:
            self.lie(lambda story, life=life: story.lives[life][1].update(stray_ends=1), f"life {life}: 1 ends of events")

    def test_a_last_life_that_refused_nothing(self):
        def forget(story):
            story.lives[2][0]["refused"] = {"overloaded": 5}
        self.lie(forget, "refused nothing, though the disk was full")

    def test_counters_of_a_killed_life_go_no_further_than_its_clients_know(self):
        self.lie(lambda story: story.lives[1][1].update(kept=4), "life 1: 5 events had ended", "life 1: kept 4")
        self.lie(lambda story: story.lives[1][1].update(full=3), "life 1: refused 3")

    def test_the_account_of_the_spool(self):
        for name in self.story.spool:
            self.lie(lambda story, name=name: story.spool.update({name: story.spool[name] + 1}), "does not balance")
        self.lie(lambda story: story.spool.update(lost=1, delivered=2), "1 records lost")
        self.lie(lambda story: story.spool.update(torn=1, delivered=2), "1 records torn")
        self.lie(lambda story: story.spool.update(kept=0, delivered=2), "the spool kept 0, its clients were told 1")
        self.lie(lambda story: story.spool.update(kept=3, delivered=5), "the spool kept 3, its clients were told 1")
        self.lie(lambda story: story.spool.update(found=9, delivered=10), "the log has 5 records")

    def test_what_is_not_kept_after_the_retry(self):
        self.assertEqual(list(books.after_the_retry(self.story.http)),
                         ["http: 1 still refused after the retry: h-2", "http: 2 still unknown after the retry: h-3",
                          "http: 2 still cut after the retry: h-5"])
        self.story.http.told = b"kkkkkkk"
        self.assertEqual(list(books.after_the_retry(self.story.http)), [])


    def load(self, library=(4, 2), http=(7, 2), cut=2):
        return list(books.of_the_load([(self.story.library, *library), (self.story.http, *http)], {"daemon": [{"cut": cut}]}))

    def test_a_storm_that_was_none(self):
        self.assertEqual(self.load(), [])
        self.assertIn("5 events were offered, fewer than 6", self.load(library=(6, 2))[0])
        self.assertIn("7 events were offered, fewer than 8", self.load(http=(8, 2))[0])
        self.assertEqual(self.load(cut=0), ["daemon: no request was cut by its kills"])
        self.story.http.told, self.story.library.told = b"kkklllaa", b"kkll"
        self.assertEqual(self.load(), ["nothing was refused: the bounds were not tried"])

    def test_a_storm_of_refusals(self):
        self.story.http.told = b"k" + b"d" * 99
        self.story.http.copies = bytearray(100)
        self.assertEqual(self.load(http=(50, 50)),
                         ["http: 1 events were kept, fewer than 50: too few to try anything"])

    def test_the_sums_say_what_was_not_tried(self):
        self.assertEqual(books.sums_of(self.story.books), "12 offered, 4 kept, 3 refused, 3 unknown, 2 cut")
        self.story.http.told, self.story.library.told = b"kkddaa", b"kkdd"
        self.assertIn("0 unknown, 2 cut (unknown: not exercised)", books.sums_of(self.story.books))


class Flow(unittest.TestCase):
    def test_a_sender_that_keeps_nothing_behind_a_fault(self):
        def sender(name, kept):
            return SimpleNamespace(name=name, rate=1, told=lambda letters: next(kept))

        def storm(*kept_on_disk):
            return Storm(SimpleNamespace(acked=[sender("acked", itertools.count())], options=SimpleNamespace(seconds=1, seed=1),
                                         on_disk=[sender("spooled", kept) for kept in kept_on_disk]))
        storm(itertools.count())
        with mock.patch("faults.FLOW_PATIENCE_S", 0), self.assertRaisesRegex(AssertionError, "spooled: it keeps nothing"):
            storm(itertools.count(), itertools.repeat(5))


class Disks(unittest.TestCase):
    def test_a_disk_that_does_not_fill_up_holds_no_lock(self):
        class Stack:
            def kill_kafka(self):
                raise OSError("no such process")
        lock = threading.Lock()
        with self.assertRaises(OSError):
            BoundedSpools("", Stack(), lock).fill()
        self.assertFalse(lock.locked())


if __name__ == "__main__":
    unittest.main(argv=[os.path.basename(__file__)])
