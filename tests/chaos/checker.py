"""Compares what tally stored with the auditor's truths, to the last digit. Every difference is a row."""

import math
from collections import Counter, namedtuple

from totals import stored_figures
from stream import METERS

Difference = namedtuple("Difference", "check place expected stored")
CLASSES = ["rejected", "unmetered", "filtered", "duplicate", "conflict", "late", "counted"]
CONTENT_BITS = 12  # of the check by which an entry tells a conflict from a retry (core/identity.h)


class Checker:
    """exact_places: every record is counted by the partition it lies on (no growth, no foreign ones)."""

    def __init__(self, scene, promised, logged, exact_places):
        self.scene, self.promised, self.logged = scene, promised, logged
        self.exact_places = exact_places
        self.ledger = {}
        self.differences = []

    def run(self):
        """All checks; the differences, none when all is well."""
        self.differences = []
        self.ledger = self.read_ledger()
        stored = stored_figures(self.scene, METERS)
        self.totals("totals against the operation log", self.promised.totals, stored)
        self.totals("totals against the log", self.logged.totals, stored)
        self.acked_is_logged()
        self.classes()
        self.rejects()
        self.offsets()
        self.memory()
        self.handoffs()
        self.books()
        return self.differences

    def differ(self, check, place, expected, stored):
        if expected != stored:
            self.differences.append(Difference(check, str(place), str(expected), str(stored)))

    def totals(self, check, totals, stored):
        expected = totals.figures()
        for place in sorted(expected.keys() | stored.keys()):
            self.differ(check, place, expected.get(place), stored.get(place))

    def acked_is_logged(self):
        for partition, offsets in self.promised.acked.items():
            missing = offsets - self.logged.offsets[partition]
            self.differ("acked records in the log", f"partition {partition}", 0, len(missing))

    def read_ledger(self):
        """partition -> Counter of every column"""
        names = CLASSES + ["handed_off", "received", "consumed", "skipped", "lost"]
        rows = self.scene.query("SELECT partition, " + ", ".join(f"sum({name})" for name in names) +
                                " FROM tally.ledger GROUP BY partition")
        return {int(row[0]): Counter({name: int(value) for name, value in zip(names, row[1:])})
                for row in rows}

    def classes(self):
        stored = self.ledger
        expected = {p: Counter(classes) for p, classes in self.logged.classes.items()}
        if not self.exact_places:
            stored = {"all": sum(stored.values(), Counter())}
            expected = {"all": sum(expected.values(), Counter())}
        for place in sorted(expected.keys() | stored.keys(), key=str):
            have, want = stored.get(place, Counter()), expected.get(place, Counter())
            for name in CLASSES:
                if name not in ("duplicate", "conflict"):
                    self.differ("records by class", f"{place} {name}", want[name], have[name])
            self.differ("records by class", f"{place} duplicate + conflict",
                        want["duplicate"] + want["conflict"], have["duplicate"] + have["conflict"])
            self.conflicts(place, want["conflict"], have["conflict"])
        self.differ("records lost", "all", 0, sum(row["lost"] for row in stored.values()))

    def conflicts(self, place, expected, stored):
        """Some few conflicts pass for retries: their content checks agree by chance."""
        mean = expected / 2**CONTENT_BITS
        if not expected - mean - 6 * math.sqrt(mean) - 6 <= stored <= expected:
            self.differ("records by class", f"{place} conflict", f"about {expected}", stored)

    def rejects(self):
        rows = self.scene.query("SELECT partition, record_offset, class, reason FROM tally.reject "
                                "WHERE class <> 'meter'")
        stored = {(int(row[0]), int(row[1])): (row[2], row[3]) for row in rows}
        expected = self.logged.rejects
        for place in sorted(expected.keys() | stored.keys()):
            want, have = expected.get(place), stored.get(place)
            if not (have is None and want[0] == "conflict"):  # passed for a retry; counted above
                self.differ("kept rejects", place, want, have)
        overflow = self.scene.value("SELECT count(*) FROM tally.reject_overflow")
        self.differ("rejects beyond the budget", "all", "0", overflow)

    def offsets(self):
        for partition, end, consumed in self.scene.query(
                "SELECT p.partition, p.next_offset - p.base_offset, (SELECT sum(l.consumed + "
                "l.skipped + l.lost) FROM tally.ledger l WHERE l.partition = p.partition) "
                "FROM tally.partition_state p"):
            self.differ("offsets = consumed + skipped + lost", f"partition {partition}", end,
                        consumed or "0")
            self.differ("records read", f"partition {partition}",
                        len(self.logged.offsets[int(partition)]),
                        self.ledger.get(int(partition), Counter())["consumed"])

    def memory(self):
        """Every counted identity is remembered, and none twice."""
        entries, distinct = self.scene.query(
            "SELECT count(*), count(DISTINCT substr(e, 1, 8) || substr(e, 11, 6)) FROM ("
            "SELECT substr(entries, 16 * i + 1, 16) AS e FROM (SELECT entry_count, entries FROM "
            "tally.dedup_segment UNION ALL SELECT entry_count, entries FROM tally.dedup_rollup) r, "
            "generate_series(0, entry_count - 1) i) s")[0]
        counted = sum(row["counted"] for row in self.ledger.values())
        self.differ("identities in the dedup memory", "entries", counted, int(entries))
        self.differ("identities in the dedup memory", "distinct", counted, int(distinct))

    def handoffs(self):
        stored = self.ledger.values()
        self.differ("handed off = received", "all", sum(row["handed_off"] for row in stored),
                    sum(row["received"] for row in stored))
        self.differ("records on their way home", "all", "0",
                    self.scene.value("SELECT count(*) FROM tally.handoff"))

    def books(self):
        done = self.scene.admin("verify", check=False)
        if done.returncode != 0:
            self.differ("tally-admin verify", "all", "the books balance",
                        (done.stdout + done.stderr).strip()[-600:])
