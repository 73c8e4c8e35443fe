#!/usr/bin/env python3
"""Posts usage events to `tally-producer serve`: post.py URL < events.ndjson, as in post.py http://localhost:8480

The API key, where one is asked for, comes from TALLY_INGEST_KEY. The last line printed is the number of events
that are kept; exit code 0 only when that is all of them. Needs nothing but Python.
"""

import os
import random
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from itertools import islice

BATCH = 500
TRIES = 10


def request_of(url, lines):
    headers = {"Content-Type": "application/x-ndjson"}
    if key := os.environ.get("TALLY_INGEST_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return urllib.request.Request(f"{url}/v1/events", data=b"".join(lines), headers=headers)


def post(url, lines):
    """Returns when all are kept. What is sent again has the ids that it had: each counts once."""
    for attempt in range(TRIES):
        wait = random.uniform(0.5, 1) * min(0.25 * 2 ** attempt, 30)
        try:
            with urllib.request.urlopen(request_of(url, lines), timeout=60):
                return  # 202
        except urllib.error.HTTPError as answer:
            problem = f"{answer.code} {answer.read().decode(errors='replace')}"
            if answer.code < 500 and answer.code not in (408, 429):
                break  # the same again changes nothing
            asked = answer.headers.get("Retry-After", "")
            wait = int(asked) if asked.isdigit() else wait
        except (OSError, HTTPException) as error:
            problem = f"no answer: {error}"  # kept or not: nobody knows
        print(f"try {attempt + 1}: {problem}", file=sys.stderr)
        if attempt + 1 < TRIES:
            time.sleep(wait)
    raise RuntimeError(problem)


def main():
    if len(sys.argv) != 2:
        sys.exit("post.py URL < events.ndjson")
    kept = 0
    problem = None
    try:
        events = (line for line in sys.stdin.buffer if line.strip())
        while lines := list(islice(events, BATCH)):
            post(sys.argv[1], lines)
            kept += len(lines)
    except RuntimeError as error:
        problem = f"not kept: {error}"
    print(kept)
    sys.exit(problem)


if __name__ == "__main__":
    main()
