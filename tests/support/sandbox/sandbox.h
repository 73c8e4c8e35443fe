// A stateful Stripe on one machine: the usage-based billing endpoints that tally speaks to, with
// Stripe's windows, replays and refusals, plus faults on request and an oracle that knows the exact
// totals. README.md lists what is and what is not.
//
// Built on runtime/http, runtime/config and runtime/log alone: it judges tally's numbers, so it
// must not share a line of code with what computes them.
#pragma once

#include "runtime/http/http.h"
#include "tests/support/sandbox/books.h"
#include "tests/support/sandbox/faults.h"
#include "tests/support/sandbox/form.h"

#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace tally::sandbox {

constexpr std::int64_t kIdempotencySeconds = kDaySeconds;

struct SandboxOptions {
  std::string state_file;                     // "": forget everything at the end
  std::chrono::milliseconds answer_delay{0};  // of every /v1 answer
  // The clocks, replaceable in tests: unix seconds, and a steady one for what is in flight.
  std::function<std::int64_t()> real_now;
  std::function<std::chrono::steady_clock::time_point()> steady_now;
};

// handle() is the whole service without its socket: any thread, one request at a time inside. With
// a state file each change is a JSON line, flushed before the answer, and re-read by the
// constructor, which throws std::runtime_error when it cannot be read; a torn last line is cut off.
class Sandbox {
 public:
  explicit Sandbox(SandboxOptions options);
  [[nodiscard]] runtime::http::Response handle(const runtime::http::Request& request);

 private:
  struct Call;  // one request to /v1, parsed
  using Time = std::chrono::steady_clock::time_point;

  [[nodiscard]] std::int64_t now() const;
  // /sandbox
  [[nodiscard]] Reply sandbox_call(const runtime::http::Request& request);
  [[nodiscard]] Reply clock_call(const runtime::http::Request& request);
  // /v1
  [[nodiscard]] runtime::http::Response stripe_call(const runtime::http::Request& request);
  [[nodiscard]] Reply once(const Call& call, Fault& fault);
  [[nodiscard]] Reply route(const Call& call);
  [[nodiscard]] Reply route_meter(const Call& call, std::string_view rest);
  [[nodiscard]] Reply create_meter(const Call& call);
  [[nodiscard]] Reply list_meters(const Call& call);
  [[nodiscard]] Reply change_meter(const Call& call, const Meter& meter, std::string_view verb);
  [[nodiscard]] Reply create_event(const Call& call);
  [[nodiscard]] Reply cancel_event(const Call& call);
  [[nodiscard]] Reply event_summaries(const Call& call, const Meter& meter);
  [[nodiscard]] Refused occupy(const std::string& series, const Call& call);
  // The journal.
  void load();
  void replay(const nlohmann::json& line);
  void record(const nlohmann::json& line);

  SandboxOptions options_;
  std::mutex mutex_;  // over everything below
  std::ofstream journal_;
  Books books_;
  Faults faults_;
  struct Stored {
    std::string fingerprint;
    Reply reply;
    std::int64_t created = 0;
    Time in_flight_until;
  };
  std::map<std::string, Stored, std::less<>> stored_;
  std::map<std::string, Time> in_flight_;  // meter and customer -> until
  std::optional<std::int64_t> frozen_now_;
  std::int64_t clock_offset_s_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace tally::sandbox
