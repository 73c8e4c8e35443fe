"""A golden test can fail: each case, with one line of its text altered, is red and says how to run
just that again. usage: self_test.py TALLY-GOLDEN CASE..."""

import os
import re
import subprocess
import sys
import tempfile


TOTAL = re.compile(r"^(  .*?) (=|shows|unique) (-?[\d.|]+)(@\S+)?( of )(\d+)$", re.M)
WHEN = re.compile(r"(\S+)/(\S+)(?= +\{)")  # a start and an end


def first_totals(text):
    """The first line of each kind in windows, and of each kind in each kind of span."""
    begin = text.index("\nwindows\n")
    spans = text.find("\nspans\n")
    met = set()
    for line in TOTAL.finditer(text, begin):
        words = line[1].split()
        where = words[2] if 0 <= spans < line.start() else "window"
        if (where, line[2]) not in met:
            met.add((where, line[2]))
            yield f"{where} {line[2]}", line


def altered_totals(text):
    for where, line in first_totals(text):
        def put(group, wrong, line=line):
            return text[:line.start(group)] + wrong + text[line.end(group):]
        yield f"{where}: another value", put(3, line[3] + "7")
        yield f"{where}: another count of events", put(6, line[6] + "1")
        yield f"{where}: a line less", text[:line.start()] + text[line.end() + 1:]
        other_tenant = "nobody " + line[0].lstrip().split(" ", 1)[1]
        yield f"{where}: a line more", text[:line.end()] + "\n  " + other_tenant + text[line.end():]
        if line[4]:
            yield f"{where}: another time of reading", put(4, "@03:33")
        when = WHEN.search(line[1])
        if when:
            yield f"{where}: another end", put(1, line[1].replace(when[0], when[1] + "/99+00:00"))
            yield f"{where}: another start", put(1, line[1].replace(when[0], "-99+00:00/" + when[2]))


def altered_sections(text):
    """What the run is given besides records."""
    zone = re.search(r'"time_zone": "[^"]+"', text)
    if zone:
        yield "another zone", text[:zone.start()] + '"time_zone": "America/Lima"' + text[zone.end():]
    period = re.search(r"\nperiods\n  .*\n", text)
    if period:
        yield "a period less", text[:period.start()] + "\nperiods\n" + text[period.end():]
    payer = re.search(r', "stripe_customer": "[^"]+"', text)
    if payer:
        yield "does not pay", text[:payer.start()] + text[payer.end():]


def altered(text):
    """(what was done, the altered text), for each way to get a case wrong."""
    yield from altered_totals(text)
    fate = re.search(r"^  counted ", text, re.M)
    said = re.search(r"counted (\d+)", text[text.index("\nclasses\n"):])
    classes = text.index("\nclasses\n") + said.start(1)
    fewer = str(int(said[1]) - 1)
    yield "a record that is unmetered", (
        text[:fate.start()] + "  unmetered " + text[fate.end():classes] + fewer + ", unmetered 1" +
        text[classes + len(said[1]):])
    yield "a fate that its classes do not count", text[:fate.start()] + "  late " + text[fate.end():]


def main(program, cases):
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            with open(case, encoding="utf-8") as file:
                text = file.read()
            for what, wrong in [*altered(text), *altered_sections(text)]:
                path = os.path.join(folder, os.path.basename(case))
                with open(path, "w", encoding="utf-8") as file:
                    file.write(wrong)
                done = subprocess.run([program, path, "--variant", "straight"], timeout=60,
                                      capture_output=True, text=True, check=False)
                told = "--variant straight" in done.stdout or f"{path}:" in done.stdout
                if done.returncode not in (1, 2) or not told:
                    failures += 1
                    print(f"{case}: {what}: not noticed ({done.returncode})\n{done.stdout}")
    print(f"{len(cases)} cases, {failures} alterations not noticed")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
