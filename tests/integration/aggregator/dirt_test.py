"""Bad input becomes a reject with reason and bytes; the partition goes on, the ledger balances."""

import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, Book  # noqa: E402
from support.partitioner import home  # noqa: E402
from support.scene import Scene  # noqa: E402


def event(**changes):
    whole = {"specversion": "1.0", "id": "bad", "source": "test", "type": "chat",
             "subject": "acme", "data": {"model": "x", "tokens": 1}}
    whole.update(changes)
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def tokens(text):
    return event(data={"model": "x", "tokens": 777}).replace(b"777", text)


DIRT = [
    ("empty_value", b""),
    ("malformed_json", event()[:-5]),
    ("malformed_json", event() + b"{}"),
    ("malformed_json", tokens(b"NaN")),
    ("malformed_json", tokens(b'"\\udc00"')),
    ("not_a_cloudevent", b"[]"),
    ("not_a_cloudevent", event(specversion=...)),
    ("invalid_utf8", event().replace(b"acme", b"\xff\xfe")),
    ("missing_attribute", event(subject=...)),
    ("missing_attribute", event(id="")),
    ("wrong_type", event(subject=7)),
    ("wrong_type", event(subject="a\u0000b")),
    ("attribute_too_long", event(subject="s" * 129)),
    ("attribute_too_long", event(id="i" * 257)),
    ("duplicate_attribute", event()[:-1] + b',"id":"bad"}'),
    ("duplicate_attribute", tokens(b'1,"tokens":2')),
    ("unsupported_specversion", event(specversion="0.3")),
    ("bad_time", event(time="yesterday")),
    ("time_in_future", event(time="9998-12-31T23:59:59Z")),
    ("bad_time", event(time="9999-01-01T00:00:00Z")),
    ("bad_time", event(time="1970-12-31T23:59:59Z")),
    ("data_not_object", event(data=[1])),
    ("data_too_large", event(data={"tokens": 1, "x": "x" * 70_000})),
    ("data_too_large", event(data={"tokens": 1, "x": "x" * 1_000_000})),
    ("value_missing", event(data={})),
    ("value_not_a_number", tokens(b'"many"')),
    ("value_out_of_range", tokens(b"1e999999999999")),
    ("value_out_of_range", tokens(b"1e19")),
    ("value_negative", tokens(b"-1")),
    ("dimension_not_scalar", event(data={"tokens": 1, "model": []})),
    ("dimension_too_long", event(data={"tokens": 1, "model": "m" * 129})),
]


class Dirt(unittest.TestCase):
    def test_every_kind_of_dirt(self):
        book = Book(seed=7)
        with Scene(CATALOGUE) as scene:
            scene.publish(book.stream(300))
            # The key decides the partition; where the id can be read it is the key.
            scene.publish([("bad", value) for _, value in DIRT], **{"message.max.bytes": 1_100_000})
            scene.publish([("i" * 257, DIRT[13][1])])
            scene.publish(book.stream(300))
            book.reject(len(DIRT) + 1)
            aggregator = scene.aggregator()
            scene.await_all_committed()
            stored = scene.query("SELECT reason, encode(record_value, 'hex'), record_offset "
                                 "FROM tally.reject WHERE class = 'rejected' "
                                 "AND record_key = 'bad'::bytea ORDER BY record_offset")
            self.assertEqual([(row[0], row[1]) for row in stored],
                             [(reason, value.hex()) for reason, value in DIRT])
            aggregator.await_ready()
            book.expect(scene)

    def test_dirt_on_a_foreign_partition_is_rejected_where_its_home_can_tell(self):
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            # Whoever reads it knows no home for what has no id; the rest goes there first.
            unreadable, bad_value = event(id=...), tokens(b"-1")
            foreign = (home("bad", 4) + 1) % 4
            scene.publish([("bad", unreadable), ("bad", bad_value)], lambda _: foreign)
            scene.await_all_received()
            self.assertEqual(scene.query("SELECT reason, partition, encode(record_value, 'hex') "
                                         "FROM tally.reject ORDER BY record_offset"),
                             [["missing_attribute", str(foreign), unreadable.hex()],
                              ["value_negative", str(foreign), bad_value.hex()]])
            self.assertEqual(scene.query("SELECT partition, handed_off, received, rejected FROM tally.ledger "
                                         "WHERE consumed + received > 0 ORDER BY received"),
                             [[str(foreign), "1", "0", "1"], [str(home("bad", 4)), "0", "1", "1"]])
            self.assertEqual(scene.admin("verify").returncode, 0)
            aggregator.stop()

    def test_finance_sees_both_fingerprints_of_a_conflict(self):
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            scene.publish([("bad", tokens(b"1")), ("bad", tokens(b"1.0")), ("bad", tokens(b"2"))])
            scene.await_all_committed()
            rows = scene.query("SET ROLE tally_finance; SELECT tenant, reason, detail, log_time, topic, partition, "
                               "record_offset FROM finance.conflicts")
            self.assertEqual(len(rows), 1)
            tenant, reason, detail, log_time, *place = rows[0]
            self.assertEqual((tenant, reason), ("acme", "other_content"))
            first, second = re.search(r"identity [0-9a-f]{28}, content ([0-9a-f]{3}) counted, ([0-9a-f]{3}) here",
                                      detail).groups()
            self.assertNotEqual(first, second)
            self.assertEqual(place, [scene.topic, str(home("bad", 4)), "2"])
            self.assertTrue(log_time)
            self.assertRegex(aggregator.get("/metrics")[1], r'tally_[a-z_]*\{[^}]*class="conflict"[^}]*\} 1\b')
            aggregator.stop()

    def test_aborted_transactions_are_skipped(self):
        book = Book(seed=9)
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator()
            producer = scene.producer(**{"transactional.id": scene.name, "linger.ms": 0})
            producer.init_transactions(30)
            ghosts = Book(seed=10)
            for round_number in range(3):
                producer.begin_transaction()
                for key, value in ghosts.stream(100):
                    producer.produce(scene.topic, key=key, value=value)
                producer.flush(30)
                producer.abort_transaction(30)
                producer.begin_transaction()
                for key, value in book.stream(100):
                    producer.produce(scene.topic, key=key, value=value)
                producer.commit_transaction(30)
            scene.await_all_committed()
            book.expect(scene)
            skipped = int(scene.value("SELECT sum(skipped) FROM tally.ledger"))
            # 300 ghosts, and a control record per partition and transaction that wrote to it.
            self.assertGreaterEqual(skipped, 300 + 6)
            self.assertLessEqual(skipped, 300 + 6 * 4)
            aggregator.await_ready()
            aggregator.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
