#!/usr/bin/env python3
"""Publishes an NDJSON file of CloudEvents with clients that tally's authors did not write.

confluent-kafka sends, the CloudEvents SDK converts (structured mode); the only settings that tally
asks of a client are key = id, partitioner = murmur2_random and idempotence. The last line printed is
the number of events that the broker acknowledged; exit code 0 only when that is every line.

Needs: pip install confluent-kafka cloudevents
"""

import argparse
import json
import os
import sys
import time
from datetime import datetime

from confluent_kafka import KafkaException, Producer

try:  # SDK 2.x
    from cloudevents.core.bindings.kafka import to_structured
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    JSON_FORMAT = JSONFormat()

    def message_of(line):
        fields = json.loads(line)
        data = fields.pop("data", None)
        if "time" in fields:
            fields["time"] = datetime.fromisoformat(fields["time"].replace("Z", "+00:00"))
        event = CloudEvent(fields, data)
        return to_structured(event, JSON_FORMAT, key_mapper=lambda e: e.get_id())

except ImportError:  # SDK 1.x
    from cloudevents.http import CloudEvent
    from cloudevents.kafka import to_structured

    def message_of(line):
        fields = json.loads(line)
        data = fields.pop("data", None)
        event = CloudEvent(fields, data)
        return to_structured(event, key_mapper=lambda e: e["id"])


class Account:
    """Every line read ends as delivered or failed."""

    def __init__(self):
        self.read = 0
        self.delivered = 0
        self.failed = 0

    def on_delivery(self, error, _message):
        if error is None:
            self.delivered += 1
            return
        self.failed += 1
        if self.failed <= 10:
            print(f"not delivered: {error}", file=sys.stderr)


def show_progress(account, done_bytes, all_bytes, started):
    share = done_bytes / all_bytes if all_bytes else 1.0
    rate = account.delivered / max(time.monotonic() - started, 1e-6)
    text = f"python client: {share:4.0%}  {account.delivered:,} delivered  {rate:,.0f}/s"
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def publish(path, producer, topic, account):
    started = shown = time.monotonic()
    all_bytes = os.path.getsize(path)
    done_bytes = 0
    pause = 0.1 if sys.stderr.isatty() else 2.0
    with open(path, "rb") as lines:
        for line in lines:
            done_bytes += len(line)
            message = message_of(line)
            account.read += 1
            while True:
                try:
                    producer.produce(topic, key=message.key, value=message.value,
                                     headers=message.headers, on_delivery=account.on_delivery)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
            if time.monotonic() - shown > pause:
                shown = time.monotonic()
                show_progress(account, done_bytes, all_bytes, started)
    producer.flush(60)
    show_progress(account, done_bytes, all_bytes, started)
    if sys.stderr.isatty():
        print(file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="NDJSON, one structured CloudEvent a line")
    parser.add_argument("--brokers", required=True, help="host:port[,host:port]")
    parser.add_argument("--topic", default="usage.events")
    arguments = parser.parse_args()
    producer = Producer({
        "bootstrap.servers": arguments.brokers,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 10,
    })
    account = Account()
    try:
        publish(arguments.file, producer, arguments.topic, account)
    except (KafkaException, OSError, ValueError) as problem:
        print(f"{arguments.file}, line {account.read + 1}: {problem}", file=sys.stderr)
        producer.flush(10)
        print(account.delivered)
        return 1
    print(account.delivered)
    return 0 if account.delivered == account.read else 1


if __name__ == "__main__":
    sys.exit(main())
