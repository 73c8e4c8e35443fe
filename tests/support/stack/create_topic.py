"""Creates a topic from schemas/topics/*.json, or proves that the existing one agrees with it.

create_topic.py BROKERS FILE [NAME] [--partitions N]
"""

import argparse
import json
import sys
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

DEADLINE_S = 30


def differences(admin, name, partitions, wanted):
    """Sentences on what the existing topic has otherwise than the file."""
    found = []
    topic = admin.list_topics(name, timeout=DEADLINE_S).topics[name]
    if len(topic.partitions) < partitions:
        found.append(f"partitions is {len(topic.partitions)}, the file says {partitions}")
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    configs = admin.describe_configs([resource])[resource].result(DEADLINE_S)
    for key, value in wanted.items():
        if configs[key].value != value:
            found.append(f"{key} is {configs[key].value}, the file says {value}")
    return found


def await_leaders(admin, name):
    """A new topic is usable once each partition has a leader."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        topic = admin.list_topics(name, timeout=DEADLINE_S).topics.get(name)
        if topic and topic.error is None and topic.partitions:
            if all(p.leader >= 0 for p in topic.partitions.values()):
                return True
        time.sleep(0.05)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("brokers")
    parser.add_argument("file")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--partitions", type=int)
    arguments = parser.parse_args()
    with open(arguments.file, encoding="utf-8") as file:
        settings = json.load(file)
    name = arguments.name or settings["name"]
    partitions = arguments.partitions or settings["partitions"]
    config = {key: str(value) for key, value in settings["config"].items()}
    admin = AdminClient({"bootstrap.servers": arguments.brokers})
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
    try:
        admin.create_topics([topic], operation_timeout=DEADLINE_S)[name].result(DEADLINE_S)
        verdict = f"topic {name} created with {partitions} partitions"
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            print(f"error: topic {name} on {arguments.brokers}: {error}", file=sys.stderr)
            return 1
        found = differences(admin, name, partitions, config)
        if found:
            print(f"error: topic {name} exists otherwise than {arguments.file}: "
                  f"{'; '.join(found)}. Alter the topic or the file.", file=sys.stderr)
            return 1
        verdict = f"topic {name} is there and agrees with {arguments.file}"
    if not await_leaders(admin, name):
        print(f"error: topic {name} has no leader after {DEADLINE_S} s", file=sys.stderr)
        return 1
    print(verdict)
    return 0


if __name__ == "__main__":
    sys.exit(main())
