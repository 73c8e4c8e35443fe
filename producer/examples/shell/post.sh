#!/usr/bin/env bash
# Posts usage events to `tally-producer serve` with curl: post.sh URL < events.ndjson, as in post.sh http://localhost:8480
#
# The API key, where one is asked for, comes from TALLY_INGEST_KEY. Exit code 0 only when all are kept.
set -euo pipefail
if (($# != 1)); then
  echo 'post.sh URL < events.ndjson' >&2
  exit 2
fi
url=$1

headers() {
  echo 'Content-Type: application/x-ndjson'
  if [[ -n ${TALLY_INGEST_KEY:-} ]]; then echo "Authorization: Bearer $TALLY_INGEST_KEY"; fi
}

# post: the lines on stdin, as often as it takes. curl waits as long as Retry-After says, else 1, 2, 4, … s; what it
# sends again has the ids that it had: each counts once. The key comes by a pipe, for `ps` shows arguments.
post() {
  curl -sS --retry 8 --retry-all-errors --max-time 60 -H @<(headers) --data-binary @- \
    -o "$answer" -w '%{http_code}' "$url/v1/events"
}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
while mapfile -n 500 lines && ((${#lines[@]})); do
  status=$(printf '%s' "${lines[@]}" | post) || exit 1
  if [[ $status != 202 ]]; then
    printf 'not kept: %s %s\n' "$status" "$(<"$answer")" >&2
    exit 1
  fi
done < <(LC_ALL=C grep -a '[^[:space:]]') # an empty line is no event
