#!/usr/bin/env python3
"""Publishes usage events to Kafka: publish.py BROKERS TOPIC < events.ndjson

confluent-kafka sends, the CloudEvents SDK writes them (structured mode). The last line printed is the number of
events that every in-sync replica has; exit code 0 only when that is all of them. After any other end send them
all again: what arrives twice under its id is counted once.

Needs: pip install confluent-kafka 'cloudevents>=2'
"""

import json
import sys
from datetime import datetime

from cloudevents.core.bindings.kafka import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import KafkaException, Producer

FORMAT = JSONFormat()


def usage_producer(brokers):
    return Producer({
        "bootstrap.servers": brokers,
        "partitioner": "murmur2_random",  # librdkafka's own default is another hash
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 10,
    })


def record(producer, topic, event, on_delivery):
    """Waits while the producer's queue is full; on_delivery is called from poll() and flush()."""
    message = to_structured(event, FORMAT, key_mapper=lambda event: event.get_id())
    while True:
        try:
            producer.produce(topic, key=message.key, value=message.value, headers=message.headers,
                             on_delivery=on_delivery)
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)


def event_of(line):
    fields = json.loads(line)
    if "id" not in fields:
        raise ValueError("an event without an id")  # the SDK would make one up, another one for each retry
    data = fields.pop("data", None)
    if "time" in fields:
        fields["time"] = datetime.fromisoformat(fields["time"].replace("Z", "+00:00"))
    return CloudEvent(fields, data)


class Account:
    """Every event ends as delivered or failed."""

    def __init__(self):
        self.read = 0
        self.delivered = 0

    def on_delivery(self, error, message):
        if error is None:
            self.delivered += 1
        else:
            print(f"{message.key().decode()}: {error}", file=sys.stderr)


def main():
    if len(sys.argv) != 3:
        sys.exit("publish.py BROKERS TOPIC < events.ndjson")
    brokers, topic = sys.argv[1:]
    producer = usage_producer(brokers)
    account = Account()
    problem = None
    try:
        for line in sys.stdin.buffer:
            account.read += 1
            record(producer, topic, event_of(line), account.on_delivery)
    except (KafkaException, ValueError) as error:
        problem = f"line {account.read}: {error}"
    producer.flush()  # every event ends, at the latest after message.timeout.ms
    print(account.delivered)
    if problem or account.delivered != account.read:
        sys.exit(problem or f"{account.read - account.delivered} events are not known to be in Kafka")


if __name__ == "__main__":
    main()
