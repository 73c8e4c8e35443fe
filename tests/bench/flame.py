"""Samples of perf as a flame graph: stacks folded, and drawn as one SVG file without any library.

A frame's width is its share of all samples, those that it calls stand on it. What is narrower than a pixel is not drawn.
The lowest frames are threads by their names: librdkafka's begin with rdk:.
"""

import collections
import os
import re
import signal
import subprocess
import zlib
from xml.sax.saxutils import escape

from plot import text

WIDTH, FRAME, LEFT, TOP = 1200, 17, 10, 40
LETTER = 6.2  # of the frames' font, in pixels
SAMPLES_A_SECOND = 499
SHOWN = 25  # lines of the table
PARTS_OF = re.compile(r"@.*|\.(?:isra|part|constprop|cold).*")  # versions, and what the compiler cut off
SPLIT = re.compile(r"operator(?:\(\)|<<=?|>>=?|<=>|<=?|>=?|->\*?)|.", re.DOTALL)


def shortened(symbol):
    """A function's name without what it takes, gives and was made for as a template."""
    symbol = PARTS_OF.sub("", symbol.replace("(anonymous namespace)::", "").split(" [clone")[0])
    out, depth = [], 0
    for part in SPLIT.findall(symbol):
        if part in "(<":
            depth += 1
        elif part in ")>" and depth:
            depth -= 1
        elif not depth:
            out.append(part)
    name = "".join(out).removesuffix(" const").strip()
    place = name.find("operator")
    begin = name.rfind(" ", 0, place if place >= 0 else len(name)) + 1  # behind what it gives
    return name[begin:]


def named(frame):
    """Of a line `address symbol (object)` as perf script writes it."""
    words = frame.strip().partition(" ")[2]
    symbol, _, place = words.rpartition(" (")
    if "[unknown]" in symbol or not symbol:
        return f"[{os.path.basename(place.rstrip(')')).strip('[]') or 'unknown'}]"
    return shortened(symbol)


def fold(lines):
    """Samples of each stack, from the thread's name to the innermost function."""
    stacks, thread, frames = collections.Counter(), None, []
    for line in [*lines, ""]:
        if not line.strip():
            if thread:
                stacks[(thread, *reversed(frames))] += 1
            thread, frames = None, []
        elif thread is None:
            thread = line.strip()
        else:
            name = named(line)
            if not (name.startswith("[") and frames and frames[-1] == name):  # no name is told once
                frames.append(name)
    return stacks


def innermost(stacks):
    """(share, thread, function): where the samples were, the most first."""
    found = collections.Counter()
    for stack, count in stacks.items():
        found[(stack[0], stack[-1])] += count
    return [(count / sum(stacks.values()), *where) for where, count in found.most_common()]


def shares_table(stacks):
    """The functions with the most samples as a table of Markdown."""
    out = ["| share | thread | function |", "|---|---|---|"]
    for share, thread, function in innermost(stacks)[:SHOWN]:
        out.append(f"| {100 * share:.1f} % | {thread} | `{function}` |")
    return "\n".join(out)


def boxes(stacks):
    """(depth, first sample, samples, name) of each frame; those with the same callers lie side by side, by name."""
    out, at, open_frames = [], 0, []  # (name, first sample)

    def close(depth):
        while len(open_frames) > depth:
            name, begun = open_frames.pop()
            out.append((len(open_frames), begun, at - begun, name))
    for stack, count in sorted(stacks.items()):
        same = 0
        while same < min(len(stack), len(open_frames)) and open_frames[same][0] == stack[same]:
            same += 1
        close(same)
        open_frames.extend((name, at) for name in stack[same:])
        at += count
    close(0)
    return out


def write_flames(path, title, stacks):
    total = sum(stacks.values())
    shown = [box for box in boxes(stacks) if box[2] * (WIDTH - 2 * LEFT) >= total]
    height = TOP + FRAME * (1 + max((depth for depth, *_ in shown), default=0)) + LEFT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           f'font-family="monospace"><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           text(LEFT, 24, title, "start", 15)]
    for depth, begun, samples, name in shown:
        left, width = (LEFT + part / total * (WIDTH - 2 * LEFT) for part in (begun, samples))
        width -= LEFT
        top = height - LEFT - FRAME * (depth + 1)
        hue = zlib.crc32(name.encode()) % 50 + 5
        out.append(f'<g><title>{escape(name)}: {100 * samples / total:.2f} %, {samples:,} samples</title>'
                   f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{FRAME - 1}" fill="hsl({hue},80%,68%)"/>')
        letters = int((width - 4) / LETTER)
        if letters >= 3:
            words = name if len(name) <= letters else name[-letters:]  # a name's end says more than its namespaces
            out.append(text(left + 2, top + 12, words, "start", 10))
        out.append("</g>")
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))


class Profile:
    """perf's record of some processes and of all that they start, until stop()."""

    def __init__(self, pids, path):
        self.path = path
        self.process = subprocess.Popen(
            ["perf", "record", "-q", "-e", "cpu-clock", "-g", "-F", str(SAMPLES_A_SECOND), "-o", path, "-p",
             ",".join(str(pid) for pid in pids)])

    def stop(self):
        """The stacks that were seen."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        script = subprocess.run(["perf", "script", "-i", self.path, "--no-inline", "-F", "comm,ip,sym,dso"], check=True,
                                text=True, errors="replace", capture_output=True)
        stacks = fold(script.stdout.splitlines())
        if not stacks:
            raise RuntimeError(f"perf saw nothing: {script.stderr.strip()[:200]}")
        return stacks
