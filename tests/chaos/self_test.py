"""The checker can fail: each of these small lies must be found, and nothing else; then all is well again."""

import os
from collections import Counter

from auditor import Promised, class_of, identity_of
from stream import LATE

SHIFT = "0.000000000001"  # the last digit

# what is altered · the statement, which its opposite puts back · the check that must say so
LIES = [
    ("one total, by its last digit",
     "UPDATE tally.usage_window SET quantity = quantity + {digit} WHERE ctid = "
     "(SELECT ctid FROM tally.usage_window ORDER BY tenant, meter, window_start, dimensions LIMIT 1)",
     "totals against the operation log"),
    ("one reading",
     "UPDATE tally.gauge_window SET reading = reading + {digit} WHERE ctid = "
     "(SELECT ctid FROM tally.gauge_window ORDER BY tenant, meter, window_start, dimensions LIMIT 1)",
     "totals against the operation log"),
    ("a record moved between two classes",
     "UPDATE tally.ledger SET unmetered = unmetered + {one}, filtered = filtered - {one} "
     "WHERE (partition, log_day) = (SELECT partition, log_day FROM tally.ledger ORDER BY 1, 2 LIMIT 1)",
     "records by class"),
]


class Drill:
    def __init__(self, checker, promised, scene):
        self.checker, self.promised, self.scene = checker, promised, scene

    def red(self, name, check):
        found = self.checker.run()
        if not any(row.check == check for row in found):
            raise AssertionError(f"self-test: {name} was not seen by '{check}': {found[:3]}")
        print(f"    seen: {name} ({len(found)} rows)")

    def run(self):
        self.database_lies()
        self.forgotten_line()
        self.entry_twice()
        left = self.checker.run()
        if left:
            raise AssertionError(f"self-test: not all was put back: {left[:3]}")

    def database_lies(self):
        for name, statement, check in LIES:
            self.scene.query(statement.format(digit=SHIFT, one=1))
            try:
                self.red(name, check)
            finally:
                self.scene.query(statement.format(digit=f"(-{SHIFT})", one="(-1)"))
        reason = "(topic, partition, record_offset, meter) = (SELECT topic, partition, " \
                 "record_offset, meter FROM tally.reject WHERE class = 'rejected' ORDER BY 1, 2, 3 LIMIT 1)"
        true = self.scene.value(f"SELECT reason FROM tally.reject WHERE {reason}")
        self.scene.query(f"UPDATE tally.reject SET reason = 'lie' WHERE {reason}")
        try:
            self.red("the reason of a kept reject", "kept rejects")
        finally:
            self.scene.query(f"UPDATE tally.reject SET reason = '{true}' WHERE {reason}")

    def forgotten_line(self):
        """An operation log that lacks the one line of an event that counts."""
        path = self.promised.reader.path
        with open(path, "rb") as file:
            lines = file.readlines()
        shorter = path + ".shorter"
        del lines[self.line_to_forget(lines)]
        with open(shorter, "wb") as file:
            file.writelines(lines)
        true, self.checker.promised = self.checker.promised, Promised(self.promised.stream, shorter)
        self.checker.promised.read_on()
        try:
            self.red("an operation log without one line", "totals against the operation log")
        finally:
            self.checker.promised = true
            os.unlink(shorter)

    def line_to_forget(self, lines):
        """The last line of an event that counts and was never published again."""
        stream, seen = self.promised.stream, Counter()
        for line in lines:
            if line.startswith(b"A"):
                record = stream.record(int(line.split()[1]))
                if record.kind == "event":
                    seen[identity_of(record.body)] += 1
        for place in range(len(lines) - 1, -1, -1):
            if not lines[place].startswith(b"A"):
                continue
            record = stream.record(int(lines[place].split()[1]))
            if record.kind == "event" and not record.altered \
                    and seen[identity_of(record.body)] == 1 \
                    and stream.base - record.body.time < LATE / 2 \
                    and class_of(self.promised.totals, record.body) == "countable":
                return place
        raise AssertionError("self-test: no event of the operation log stands alone")

    def entry_twice(self):
        token = self.scene.query(
            "INSERT INTO tally.dedup_segment (partition, log_day, partitions, token, entry_count, "
            "entries) SELECT partition, log_day, partitions, gen_random_uuid(), 1, "
            "substr(entries, 1, 16) FROM (SELECT * FROM tally.dedup_segment ORDER BY token LIMIT 1) s "
            "RETURNING token")[0][0]
        try:
            self.red("an identity that is remembered twice", "identities in the dedup memory")
        finally:
            self.scene.query(f"DELETE FROM tally.dedup_segment WHERE token = '{token}'")
