"""What an event costs an aggregator that saw many before it, beside one that saw few, in the same seconds.

A shared machine's speed moves by a third within a minute, so two stretches of one run cannot be held against each
other. Here an old aggregator and a young one (its own group, its own database) read the same topic and take turns of
a few seconds: the other one is stopped by SIGSTOP, shorter than Kafka's session timeout and than Postgres' limit for an
idle transaction. What is compared are CPU-seconds of its process over the records that it committed, all turns
together; the old one has the first turn and the last, so that a machine that grows slower evenly weighs on both alike.

What bleeds over a turn's edge:
- A turn has what was paid and consumed up to the last commit that was seen in it, since the last one seen in an earlier
  turn of the same aggregator. So what is folded and not committed yet goes to its next turn, with what it cost, and all
  turns together reach from a commit to a commit. What is folded beside a commit is ahead of it at both.
- A turn ends with no transaction open if there is such a moment in time; else a commit goes on in Postgres, or waits
  there for its next statement. If that is the first edge or the last, up to the CPU of what is folded beside one commit
  is in doubt, of some twenty commits.
- librdkafka's queues are full at both of these edges, and a stopped process takes in what fits its socket's buffer: the
  kernel's time for that is nobody's, copying it out is part of the next turn. The same for both.
- After a stop the commit interval is over at once, so each turn begins with a small commit. The same for both.
- What Postgres and Kafka do yet for the one that was stopped weighs on the other's first moments, either way round.
Neither waits for the other: what they lock lies in two databases.
"""

import os
import signal
import time
from typing import NamedTuple

from stand import huge_pages, logged

LOOK_SECONDS = 0.02
AWAIT_IDLE_SECONDS = 1.0  # after the end of a turn's time; Postgres ends a transaction that is idle for 5
JOIN_SECONDS = 2.0
KEEP_PLACE_SECONDS = 0.1
OPEN_TRANSACTIONS = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL")


class Turn(NamedTuple):
    who: str
    begun: float   # in seconds since 1970
    seconds: float
    consumed: int  # at the last commit before it
    records: int   # from there to its own last commit
    cpu: float     # CPU-seconds, likewise


class Player:
    """One aggregator that runs only while it has its turn. `watch`: its Watch of scale.py."""

    def __init__(self, who, aggregator, watch):
        self.who, self.aggregator, self.watch = who, aggregator, watch
        self.committed = (0, 0.0)  # records, and CPU-seconds of the process when they were seen

    def pid(self):
        return self.aggregator.process.pid

    def halt(self):
        """Stopped, all of its threads."""
        self.aggregator.process.send_signal(signal.SIGSTOP)
        if os.waitid(os.P_PID, self.pid(), os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code != os.CLD_STOPPED:
            raise RuntimeError(f"the aggregator ended in its turn; see {self.aggregator.log_path}")

    def go_on(self):
        self.aggregator.process.send_signal(signal.SIGCONT)

    def idle(self):
        return int(self.watch.psql.value(OPEN_TRANSACTIONS)) == 0

    def look(self, with_page=True):
        consumed = self.watch.look(with_page)
        if consumed > self.committed[0]:
            self.committed = (consumed, self.watch.cpu[-1][1])

    def rest(self):
        """Stopped, with no transaction open if there is such a moment in time."""
        deadline = time.monotonic() + AWAIT_IDLE_SECONDS
        while time.monotonic() < deadline:
            self.look(with_page=False)
            if self.idle():
                self.halt()
                if self.idle():
                    return
                self.go_on()
            time.sleep(LOOK_SECONDS)
        self.halt()

    def play(self, seconds):
        """A turn: it stands still before and after."""
        consumed, cpu = self.committed
        begun, start = time.time(), time.monotonic()
        self.go_on()
        while time.monotonic() < start + seconds:
            self.look()
            time.sleep(LOOK_SECONDS)
        self.rest()
        self.look(with_page=False)
        return Turn(self.who, begun, time.monotonic() - start, consumed, self.committed[0] - consumed,
                    self.committed[1] - cpu)

    def joins(self):
        """Grows when its sessions or partitions change, as they do when it was stopped for too long."""
        log = self.aggregator.log_path
        return sum(len(logged(log, event)) for event in ("session_open", "partition_acquired", "partition_revoked"))


def cost(turns, who):
    """CPU-seconds per million records of one of them."""
    records = sum(turn.records for turn in turns if turn.who == who)
    if records <= 0:
        raise RuntimeError(f"{who} committed nothing in its turns")
    return sum(turn.cpu for turn in turns if turn.who == who) / records * 1e6


def old_of_young(turns):
    """`turns`: the old one's and the young one's, alternating, the old one's at both ends."""
    if len(turns) < 3 or [turn.who for turn in turns] != (["old", "young"] * len(turns))[:len(turns) | 1]:
        raise RuntimeError(f"{len(turns)} turns do not alternate from the old one to the old one")
    return cost(turns, "old") / cost(turns, "young")


def single_ratios(turns):
    """The old one's turns before and after each of the young one's, of it. Rough: a commit more or less tells."""
    return [cost(turns[i - 1:i + 2], "old") / cost(turns[i:i + 1], "young") for i in range(1, len(turns) - 1, 2)
            if turns[i].records > 0 and turns[i - 1].records + turns[i + 1].records > 0]


def take_turns(old, young, seconds, warm, done, between):
    """Both stand still before it and after it. Turns that are not counted until `warm()`, then counted ones until
    `done()`; `between()` is called when the old one had its turn and both stand still with no transaction open, which
    would not last. Returns what was counted."""
    def pause():
        if old.idle() and young.idle():
            between()

    while not young.watch.consumed():
        young.play(JOIN_SECONDS)
        old.play(KEEP_PLACE_SECONDS)  # in its group, while the young one finds its own
    young.play(seconds)
    while not warm():
        old.play(seconds)
        pause()
        young.play(seconds)
    joins = old.joins(), young.joins()
    turns = [old.play(seconds)]
    while True:
        pause()
        turns += [young.play(seconds), old.play(seconds)]
        if done():
            break
    if joins != (old.joins(), young.joins()):
        raise RuntimeError("an aggregator lost its partitions or its session between its turns; see its log")
    return turns


def as_found(turns, old, young):
    """For the JSON."""
    return {"old_of_young": old_of_young(turns), "single_ratios": single_ratios(turns),
            "old_cpu_per_million": cost(turns, "old"), "young_cpu_per_million": cost(turns, "young"),
            "old_huge_pages": huge_pages(old.pid()), "young_huge_pages": huge_pages(young.pid()),
            "turns": [turn._asdict() for turn in turns]}
