"""Watches the commits: how far Postgres is, and for how long it stood still."""

import threading
import time

from fleet import Unexpected

POLL_S = 0.5
STALL_S = 60  # no commit for so long after everything was healed is a failure


class Watch(threading.Thread):
    def __init__(self, scene):
        super().__init__(daemon=True)
        self.scene = scene
        self.consumed = 0
        self.moved_at = time.monotonic()
        self.longest_gap_s = 0.0   # between two commits, faults included
        self.longest_heal_s = 0.0  # from a fault's end to the next commit
        self.stopping = threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(POLL_S):
            try:
                consumed = int(self.scene.value(
                    "SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state"))
            except Exception:  # Postgres is away: that is what is being drilled
                continue
            if consumed != self.consumed:
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - self.moved_at)
                self.consumed, self.moved_at = consumed, now

    def reset(self):
        """The time up to now is no gap: there was nothing to commit."""
        self.moved_at = time.monotonic()

    def moved_since(self, moment):
        return self.moved_at > moment

    def await_commit(self, since, seconds):
        """True when something was committed after `since`; waits at most so long from now on."""
        deadline = time.monotonic() + seconds
        while not self.moved_since(since):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S / 2)
        self.longest_heal_s = max(self.longest_heal_s, self.moved_at - since)
        return True

    def demand_commit(self, since):
        if not self.await_commit(since, STALL_S):
            raise Unexpected(f"stalled: nothing was committed within {STALL_S} s although every "
                             "fault was healed")
