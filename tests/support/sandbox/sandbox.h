// A stateful Stripe on one machine: the usage-based billing endpoints that tally speaks to, with
// Stripe's windows, replays and refusals, plus faults on request and an oracle that knows the exact
// totals. README.md lists what is and what is not.
//
// Built on runtime/http, runtime/config and runtime/log alone: it judges tally's numbers, so it
// must not share a line of code with what computes them.
#pragma once

#include "runtime/http/http.h"
#include "tests/support/sandbox/behaviour.h"
#include "tests/support/sandbox/books.h"
#include "tests/support/sandbox/customers.h"
#include "tests/support/sandbox/faults.h"
#include "tests/support/sandbox/form.h"
#include "tests/support/sandbox/journal.h"
#include "tests/support/sandbox/key_store.h"
#include "tests/support/sandbox/limits.h"
#include "tests/support/sandbox/reports.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace tally::sandbox {

struct SandboxOptions {
  std::string state_file;  // "": forget everything at the end
  // As POST /sandbox/settings takes them; they win over those in the state file.
  nlohmann::json settings = nlohmann::json::object();
  // As POST /sandbox/fault_plan takes it; null: none.
  nlohmann::json fault_plan = nullptr;
  // The clocks, replaceable in tests: unix seconds, and a steady one for rates and what is in
  // flight.
  std::function<std::int64_t()> real_now;
  std::function<std::chrono::steady_clock::time_point()> steady_now;
};

// handle() is the whole service without its socket: any thread, one request at a time inside. With
// a state file each change is a JSON line, flushed before the answer, and re-read by the
// constructor, which throws std::runtime_error when it cannot be read, a setting is none or the
// plan is none; a torn last line is cut off. handle() throws std::runtime_error once the file takes
// no more, so that nothing is answered that it does not hold.
class Sandbox {
 public:
  explicit Sandbox(SandboxOptions options);
  [[nodiscard]] runtime::http::Response handle(const runtime::http::Request& request);

 private:
  struct Call;  // one request to /v1 or /v2, parsed
  using Time = std::chrono::steady_clock::time_point;

  [[nodiscard]] std::int64_t now() const;
  // Does what is due: counts and rejects events, makes their reports.
  void settle();
  void note(const Event& settled);
  // /sandbox
  [[nodiscard]] Reply sandbox_call(const runtime::http::Request& request);
  [[nodiscard]] Reply oracle_call(std::string_view path, const Form& query);
  [[nodiscard]] Reply clock_call(const runtime::http::Request& request);
  // Refuses what is no time; throws nlohmann::json::exception when a member has another type.
  [[nodiscard]] Refused set_clock(const nlohmann::json& wanted);
  [[nodiscard]] Reply settings_call(const runtime::http::Request& request);
  [[nodiscard]] Reply faults_call(const runtime::http::Request& request);
  [[nodiscard]] Reply customers_call(const runtime::http::Request& request);
  // /v1 and /v2
  [[nodiscard]] runtime::http::Response stripe_call(const runtime::http::Request& request);
  [[nodiscard]] Refused refuse_early(const runtime::http::Request& request, Call& call);
  [[nodiscard]] Reply once(const Call& call, const Fault& fault);
  [[nodiscard]] static bool took_effect(const Call& call, const Fault& fault, const Reply& reply);
  [[nodiscard]] static std::string identity_of(const Call& call);
  void complete(Reply& reply, const Call& call) const;
  [[nodiscard]] Reply route(const Call& call);
  [[nodiscard]] Reply route_meter(const Call& call, std::string_view rest);
  [[nodiscard]] Reply create_meter(const Call& call);
  [[nodiscard]] Reply list_meters(const Call& call);
  [[nodiscard]] Reply change_meter(const Call& call, const Meter& meter, std::string_view verb);
  [[nodiscard]] Reply create_event(const Call& call);
  [[nodiscard]] Reply cancel_event(const Call& call);
  [[nodiscard]] Reply event_summaries(const Call& call, const Meter& meter);
  [[nodiscard]] Reply create_customer(const Call& call);
  [[nodiscard]] Reply route_customer(const Call& call, std::string_view id);
  [[nodiscard]] Reply core_event(const Call& call, std::string_view id);
  // The journal. Throw when a line is of no known kind or does not fit what came before it.
  void replay(const nlohmann::json& line);
  void replay_settled(const nlohmann::json& line);
  void replay_clock(const nlohmann::json& clock);

  SandboxOptions options_;
  std::mutex mutex_;  // over everything below
  Behaviour behaviour_;
  Customers customers_{behaviour_};
  Books books_{behaviour_, customers_};
  Reports reports_;
  Faults faults_;
  Limits limits_;
  KeyStore keys_;
  std::optional<std::int64_t> frozen_now_;
  std::int64_t clock_offset_s_ = 0;
  std::int64_t starts_ = 0;  // of processes on the state file that were asked something
  std::uint64_t requests_ = 0;
  Journal journal_;  // last: reading it fills what stands above
};

}  // namespace tally::sandbox
