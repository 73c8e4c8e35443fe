"""COMMIT reaches Postgres and its answer never comes back, or the connection breaks just before it."""

import time

NAME = "cut connections at COMMIT"
LANE = "world"
HOLD_S = (0, 0)
WAIT_S = 15


class Plan:
    def __init__(self, gate, actions):
        self.gate, self.name = gate, ", ".join(actions)
        with gate.lock:
            self.until = len(gate.struck) + len(actions)
            gate.plan += actions


def inject(world, rng):
    actions = [rng.choice(["cut_answer", "cut_commit"]) for _ in range(rng.randint(1, 4))]
    return Plan(world.stack.postgres_gate, actions)


def heal(world, rng, plan):
    deadline = time.monotonic() + WAIT_S
    while len(plan.gate.struck) < plan.until and time.monotonic() < deadline:
        time.sleep(0.1)
    with plan.gate.lock:
        plan.gate.plan.clear()
