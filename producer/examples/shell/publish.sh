#!/usr/bin/env bash
# Publishes usage events to Kafka with kcat and jq: publish.sh BROKERS TOPIC < events.ndjson
#
# Exit code 0 only when every in-sync replica has every event. After any other end (kcat gives up as soon as no
# broker answers) send them all again: what arrives twice under its id is counted once.
set -euo pipefail
if (($# != 2)); then
  echo 'publish.sh BROKERS TOPIC < events.ndjson' >&2
  exit 2
fi
brokers=$1 topic=$2

# A line is its id, a tab and the event as it stood: jq would round long numbers.
jq -nRr 'inputs | "\(fromjson | .id // error("an event without id"))\t\(.)"' |
  kcat -P -b "$brokers" -t "$topic" -K '\t' -H content-type=application/cloudevents+json \
    -X partitioner=murmur2_random -X enable.idempotence=true -X acks=all -X linger.ms=10
