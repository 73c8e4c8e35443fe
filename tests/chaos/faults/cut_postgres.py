"""Every connection to Postgres breaks, wherever its transaction stands, and new ones are refused."""

NAME = "cut the way to Postgres"
LANE = "world"
HOLD_S = (0.2, 8)


def inject(world, rng):
    world.stack.postgres_gate.set("cut")


def heal(world, rng, state):
    world.stack.postgres_gate.set("open")
