// A stateful Stripe on one machine: the usage-based billing endpoints that tally speaks to, with
// Stripe's windows, replays and refusals, plus faults on request and an oracle that knows the exact
// totals. README.md lists what is and what is not.
//
// Built on runtime/http, runtime/config and runtime/log alone: it judges tally's numbers, so it
// must not share a line of code with what computes them.
#pragma once

#include "runtime/http/http.h"
#include "tests/support/sandbox/behaviour.h"
#include "tests/support/sandbox/billing.h"
#include "tests/support/sandbox/books.h"
#include "tests/support/sandbox/customers.h"
#include "tests/support/sandbox/documents.h"
#include "tests/support/sandbox/faults.h"
#include "tests/support/sandbox/form.h"
#include "tests/support/sandbox/journal.h"
#include "tests/support/sandbox/key_store.h"
#include "tests/support/sandbox/limits.h"
#include "tests/support/sandbox/reports.h"
#include "tests/support/sandbox/webhooks.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

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
// no more, so that nothing is answered that it does not hold. What one request does is one line, so
// that a kill leaves it whole or undone.
class Sandbox {
 public:
  explicit Sandbox(SandboxOptions options);
  [[nodiscard]] runtime::http::Response handle(const runtime::http::Request& request);
  // For who carries deliveries, on any thread: the next that is due, after a moment's wait nullopt;
  // then what came of it (0: no answer).
  [[nodiscard]] std::optional<Outgoing> wait_for_delivery(const std::stop_token& stop);
  void told_delivery(const std::string& number, int status);

 private:
  struct Call;  // one request to /v1 or /v2, parsed
  using Time = std::chrono::steady_clock::time_point;

  [[nodiscard]] std::int64_t now() const;
  void draw_account();
  // Does what is due: counts and rejects events, makes their reports, ends periods, finalizes.
  // Each step of the clock is one line of the state file; what is done after the last one is part
  // of the line of the request.
  void settle();
  void settle_events(std::int64_t at);
  void keep_changes();
  // Does what belongs together at one moment. Half of it is never kept: what throws, but for a
  // state file that takes no more, ends the process.
  template <typename Work>
  auto whole(const Work& work);
  [[nodiscard]] bool has_delivery();
  // How a report names an event.
  [[nodiscard]] std::string request_of(const Event& rejected) const;
  void note(const Event& settled, const std::string& code, const std::string& request);
  // /sandbox
  [[nodiscard]] Reply sandbox_call(const runtime::http::Request& request);
  [[nodiscard]] Reply oracle_call(std::string_view path, const Form& query);
  [[nodiscard]] Reply clock_call(const runtime::http::Request& request);
  // Refuses what is no time; throws nlohmann::json::exception when a member has another type.
  [[nodiscard]] Refused set_clock(const nlohmann::json& wanted);
  [[nodiscard]] Reply settings_call(const runtime::http::Request& request);
  [[nodiscard]] Reply faults_call(const runtime::http::Request& request);
  [[nodiscard]] Reply customers_call(const runtime::http::Request& request);
  [[nodiscard]] Reply webhooks_call(const runtime::http::Request& request);
  [[nodiscard]] Reply fate_call(const runtime::http::Request& request);
  // /v1 and /v2
  [[nodiscard]] runtime::http::Response stripe_call(const runtime::http::Request& request);
  [[nodiscard]] Refused refuse_early(const runtime::http::Request& request, Call& call);
  [[nodiscard]] Reply once(const Call& call, const Fault& fault);
  [[nodiscard]] static bool took_effect(const Fault& fault, const Reply& reply);
  [[nodiscard]] static std::string identity_of(const Call& call);
  void complete(Reply& reply, const Call& call) const;
  [[nodiscard]] Reply route(const Call& call);
  [[nodiscard]] Reply account(const Call& call);
  [[nodiscard]] Reply route_meter(const Call& call, std::string_view rest);
  [[nodiscard]] Reply create_meter(const Call& call);
  [[nodiscard]] Reply list_meters(const Call& call);
  [[nodiscard]] Reply change_meter(const Call& call, const Meter& meter, std::string_view verb);
  [[nodiscard]] Reply create_event(const Call& call);
  [[nodiscard]] Reply cancel_event(const Call& call);
  [[nodiscard]] Reply event_summaries(const Call& call, const Meter& meter);
  [[nodiscard]] Reply create_customer(const Call& call);
  [[nodiscard]] Reply route_customer(const Call& call, std::string_view id);
  // Prices, subscriptions and invoices, in the places of the call's version.
  [[nodiscard]] std::optional<Reply> route_billing(const Call& call);
  [[nodiscard]] std::optional<Reply> route_webhooks(const Call& call);
  [[nodiscard]] std::optional<Reply> route_v2(const Call& call);
  [[nodiscard]] Refused check_token(std::string_view token) const;
  [[nodiscard]] Reply open_session(const Call& call);
  [[nodiscard]] Reply stream(const Call& call);
  [[nodiscard]] std::optional<std::size_t> drawn_of(const std::vector<Draft>& drafts,
                                                    const Call& call) const;
  [[nodiscard]] std::optional<Reply> route_invoicing(const Call& call);
  [[nodiscard]] Reply listed(const Call& call, std::string_view object,
                             const std::vector<std::string>& equal,
                             const std::vector<Parameter>& others,
                             const std::function<bool(const nlohmann::json&)>& takes);
  [[nodiscard]] Reply create_price(const Call& call);
  [[nodiscard]] Refused read_recurring(const Call& call, nlohmann::json& out) const;
  [[nodiscard]] Refused take_lookup_key(const Call& call);
  [[nodiscard]] Reply list_prices(const Call& call);
  [[nodiscard]] Reply create_subscription(const Call& call);
  [[nodiscard]] Reply list_subscriptions(const Call& call);
  [[nodiscard]] Reply route_subscription(const Call& call, std::string_view id);
  [[nodiscard]] Reply update_subscription(const Call& call, const nlohmann::json& subscription);
  [[nodiscard]] Refused change_cancelling(const Call& call, const nlohmann::json& subscription);
  [[nodiscard]] Reply cancel_subscription(const Call& call, const nlohmann::json& subscription);
  [[nodiscard]] Refused read_items(const Call& call, const nlohmann::json* subscription,
                                   std::vector<ItemChange>& out);
  [[nodiscard]] Refused check_together(const nlohmann::json& one,
                                       const std::map<std::string, std::string>& prices) const;
  [[nodiscard]] Reply create_invoice_item(const Call& call);
  [[nodiscard]] Refused read_item_price(const Call& call, nlohmann::json& item);
  [[nodiscard]] Refused read_item_place(const Call& call, nlohmann::json& item);
  [[nodiscard]] Reply list_invoices(const Call& call);
  [[nodiscard]] Reply route_invoice(const Call& call, std::string_view rest);
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
  Documents documents_;
  Billing billing_{behaviour_, books_, documents_};
  Webhooks webhooks_{behaviour_, documents_};
  std::condition_variable_any wakes_;  // a delivery is due
  Reports reports_;
  Faults faults_;
  Limits limits_;
  KeyStore keys_;
  std::int64_t moment_ = 0;  // the real clock, one for all of a request
  std::optional<std::int64_t> frozen_now_;
  std::int64_t clock_offset_s_ = 0;
  std::int64_t starts_ = 0;  // of processes on the state file that were asked something
  std::uint64_t requests_ = 0;
  Journal journal_;  // last: reading it fills what stands above
};

}  // namespace tally::sandbox
