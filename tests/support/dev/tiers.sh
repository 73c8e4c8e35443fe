# shellcheck shell=bash
# The tiers of `./dev test`: each is one run of ctest; a table at the end shows them all.

tier_rows=()
failed_tiers=()

# run_tier NAME PRESET CTEST-ARGUMENTS…
run_tier() {
  local name=$1 preset=$2 log started seconds count result
  shift 2
  log=build/$preset/Testing/$name.log
  mkdir -p "${log%/*}"
  say "testing: $name"
  started=$SECONDS
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@" 2>&1 | tee "$log"
  result=${PIPESTATUS[0]}
  seconds=$((SECONDS - started))
  count=$(sed -n 's/.*tests passed, [0-9]* tests failed out of \([0-9]*\)$/\1/p' "$log")
  if ((result)); then failed_tiers+=("$name"); fi
  tier_rows+=("$(printf '%-16s %6s  %-7s %7s s' "$name" "${count:-0}" \
    "$( ((result)) && echo FAILED || echo passed)" "$seconds")")
  {
    printf '%s:\n' "$name"
    sed -n '/tests passed, [0-9]* tests failed/,$p' "$log"
  } >>build/test-summary.txt
}

# build_meanwhile PRESET…: starts building the unit tests of each behind everything else, on what the integration
# tests leave of the machine while they wait. What goes wrong here is told by run_sanitized, which builds again.
build_meanwhile() {
  local preset
  for preset in "$@"; do
    configure "$preset"
    start_process build/meanwhile "$preset" TERM \
      nice -n 19 ninja -C "build/$preset" -j $((($(nproc) + 1) / 2)) unit_tests
    # Where the kernel groups by session (sched_autogroup), nice weighs within the session only: the group's own counts.
    { echo 19 >"/proc/$(pid_of build/meanwhile "$preset")/autogroup"; } 2>/dev/null || true
  done
}

# run_sanitized NAME PRESET CTEST-ARGUMENTS…: builds the unit tests first.
run_sanitized() {
  local name=$1 preset=$2
  shift 2
  say "waiting for build/$preset (build/meanwhile/log/$preset.log)"
  await_exit build/meanwhile "$preset" 7200
  build_preset "$preset" unit_tests
  run_tier "$name" "$preset" "$@"
}

# run_tiers FILTER SANITIZERS DRILLS
run_tiers() {
  local filter=$1 sanitizers=$2 drills=$3
  mkdir -p build
  : >build/test-summary.txt
  trap 'stop_all build/meanwhile >/dev/null 2>&1; stop_all build/release/stack >/dev/null 2>&1' EXIT
  if [[ -n $filter ]]; then
    # A drill needs what only --all installs.
    if ((drills)); then run_tier "matching" release -R "$filter"; else run_tier "matching" release -R "$filter" -LE drill; fi
  else
    run_tier tidy release -L tidy
    run_tier unit release -LE 'tidy|integration|simulation|drill'
    run_tier simulation release -L simulation
    if ((sanitizers)); then build_meanwhile asan tsan; fi
    run_tier integration release -L integration
    if ((drills)); then run_tier drills release -L drill; fi
    if ((sanitizers)); then
      run_sanitized "unit asan+ubsan" asan
      run_sanitized "unit tsan" tsan
    fi
  fi
  # shellcheck disable=SC2154  # bold and plain are set by dev
  printf '\n%s%-16s %6s  %-7s %9s%s\n' "$bold" tier tests result time "$plain"
  printf '%s\n' "${tier_rows[@]}"
  ((${#failed_tiers[@]} == 0)) || refuse "test: failed in: ${failed_tiers[*]}; the words of each failure stand above."
  verdict "test: every test of every tier passed."
}

# lint_sources: clang-tidy over our own sources in build/dev's compile commands. What libraries we do
# not build with clang generate (flags of GCC only) is silenced there, not in the sources.
lint_sources() {
  run-clang-tidy-19 -quiet -j "$(nproc)" -p build/dev -extra-arg=-Wno-unknown-warning-option \
    "^$TALLY_ROOT/(core|runtime|producer|aggregator|exporter|admin|tests)/.*\.cc$"
}
