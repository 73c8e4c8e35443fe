"""A golden test can fail: each case, with one line of its text altered, is red and says how to run
just that again. usage: self_test.py TALLY-GOLDEN CASE..."""

import os
import re
import subprocess
import sys
import tempfile


def altered(text):
    """(what was done, the altered text), for each way to get a case wrong."""
    quantity = re.search(r"(= |shows )(-?[\d.|]+)( of \d+)$", text, re.M)
    yield "another value", text[:quantity.end(2)] + "7" + text[quantity.end(2):]
    events = re.search(r" of (\d+)$", text, re.M)
    yield "another count of events", text[:events.end(1)] + "1" + text[events.end(1):]
    window = re.search(r"^  .*(= |shows ).* of \d+\n", text, re.M)
    yield "a window less", text[:window.start()] + text[window.end():]
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
            for what, wrong in altered(text):
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
