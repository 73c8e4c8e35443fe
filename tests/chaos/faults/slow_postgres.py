"""Every piece to and from Postgres waits, or none moves at all for a while."""

NAME = "slow the way to Postgres"
LANE = "world"
HOLD_S = (2, 8)


def inject(world, rng):
    if rng.random() < 0.4:
        world.stack.postgres_gate.set("held")
        return "no byte moves"
    delay_s = rng.uniform(0.02, 0.3)
    world.stack.postgres_gate.set("slow", delay_s)
    return f"{delay_s * 1000:.0f} ms a piece"


def heal(world, rng, state):
    world.stack.postgres_gate.set("open")
