// Named places in the shipped programs where a drill can stop, delay or break them, so that tests
// can hit the exact moment between two steps of a commit. Off unless the environment says so:
//
//   TALLY_FAILPOINTS="aggregator.before_commit=kill@3,exporter.after_send=sleep:2000"
//
// Actions: `kill` (SIGKILL to this process) · `sleep:MS` (the calling thread, up to 10 minutes) ·
// `error` (throws std::runtime_error). `@N`: at the N-th hit only; without it `kill` strikes at the
// first hit, `sleep` and `error` at each. Names: <component>.<before|after>_<step>.
#pragma once

#include <atomic>
#include <string_view>

namespace tally::runtime::lifecycle {

namespace internal {
extern std::atomic<bool> failpoints_armed;
void hit_failpoint(std::string_view name);
}  // namespace internal

// One relaxed load when nothing is armed. Any thread. Throws std::runtime_error for `error`.
inline void failpoint(std::string_view name) {
  if (internal::failpoints_armed.load(std::memory_order_relaxed)) [[unlikely]] {
    internal::hit_failpoint(name);
  }
}

// Replaces all armed failpoints; "" disarms. Throws std::invalid_argument that names the bad entry
// (nothing is changed then). For tests; programs get theirs from the environment.
void arm_failpoints(std::string_view specification);

// StopSignal calls this: reads TALLY_FAILPOINTS and logs a warning for each armed failpoint. A
// wrong specification ends the process with code 2, for a drill that silently did nothing would
// prove nothing.
void arm_failpoints_from_environment();

}  // namespace tally::runtime::lifecycle
