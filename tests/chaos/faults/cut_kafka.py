"""Every connection to Kafka breaks, those of the producers too, and new ones are refused."""

NAME = "cut the way to Kafka"
LANE = "world"
HOLD_S = (0.2, 8)


def inject(world, rng):
    world.stack.kafka_gate.set("cut")


def heal(world, rng, state):
    world.stack.kafka_gate.set("open")
