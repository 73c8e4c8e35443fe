"""Every piece to and from Kafka waits, or none moves at all for a while."""

NAME = "slow the way to Kafka"
LANE = "world"
HOLD_S = (2, 8)


def inject(world, rng):
    if rng.random() < 0.4:
        world.stack.kafka_gate.set("held")
        return "no byte moves"
    delay_s = rng.uniform(0.02, 0.3)
    world.stack.kafka_gate.set("slow", delay_s)
    return f"{delay_s * 1000:.0f} ms a piece"


def heal(world, rng, state):
    world.stack.kafka_gate.set("open")
