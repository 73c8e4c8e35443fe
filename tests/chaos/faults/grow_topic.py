"""Partitions are added while everything runs: 4, 6, 8."""

NAME = "the topic grows"
LANE = "world"
HOLD_S = (0, 0)
LARGEST = 8


def possible(world):
    return world.options.growth and world.partitions < LARGEST


def inject(world, rng):
    from confluent_kafka.admin import AdminClient, NewPartitions
    count = world.partitions
    admin = AdminClient({"bootstrap.servers": world.stack.brokers})
    admin.create_partitions([NewPartitions(world.scene.topic, count + 2)])[
        world.scene.topic].result(30)
    world.partitions += 2
    return f"{count} to {count + 2} partitions"


def heal(world, rng, state):
    pass
