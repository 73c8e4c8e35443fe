"""Partitions are added while everything runs: 4, 6, 8."""

NAME = "the topic grows"
LANE = "world"
HOLD_S = (0, 0)
LARGEST = 8


def inject(world, rng):
    from confluent_kafka.admin import AdminClient, NewPartitions
    count = len(world.scene.ends())
    if count >= LARGEST:
        return "it is large enough"
    admin = AdminClient({"bootstrap.servers": world.stack.brokers})
    admin.create_partitions([NewPartitions(world.scene.topic, count + 2)])[
        world.scene.topic].result(30)
    return f"{count} to {count + 2} partitions"


def heal(world, rng, state):
    pass
