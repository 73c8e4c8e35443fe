"""An aggregator that dies, sleeps or fails at an exact step of its commit."""

import time

NAME = "failpoint in an aggregator"
LANE = "fleet"
HOLD_S = (0, 0)
STEPS = ["after_fold", "before_commit", "in_commit", "after_commit", "before_mirror"]
WAIT_S = 20  # it may own nothing, and then never comes to the step


class Armed:
    def __init__(self, slot, text):
        self.slot, self.name = slot, f"{slot.name} {text}"


def inject(world, rng):
    slot = world.fleet.pick(rng)
    slot.drain()
    step = rng.choice(STEPS)
    action = rng.choice(["kill", "kill", "sleep:7000", "error"])
    text = f"aggregator.{step}={action}@{rng.randint(1, 15)}"
    slot.start(rng, failpoints=text)
    return Armed(slot, text)


def heal(world, rng, armed):
    deadline = time.monotonic() + WAIT_S
    while armed.slot.up() and time.monotonic() < deadline:
        if "failpoint strikes" in armed.slot.aggregator.log() and "kill" not in armed.name:
            armed.slot.ending = False
            return  # it lives on, and must recover by itself
        time.sleep(0.2)
    armed.slot.kill()
    armed.slot.start(rng)
