#!/usr/bin/env bash
# with_stack.sh DIR COMMAND…: runs an integration test with the addresses of the stack in DIR. Listing
# the tests of a program (at build time) needs no stack.
set -euo pipefail
dir=${1:?the directory of the stack}
shift
if [[ -r $dir/env ]]; then
  # shellcheck disable=SC1091
  source "$dir/env"
elif [[ " $* " != *" --gtest_list_tests "* ]]; then
  echo "error: $dir/env is missing: run through ctest, whose fixture starts the stack" >&2
  exit 1
fi
# The only Stripe of a test is the sandbox.
unset STRIPE_SECRET_KEY TALLY_STRIPE_KEY TALLY_STRIPE_KEY_FILE
exec "$@"
