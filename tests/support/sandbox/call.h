// One request to /v1 or /v2, parsed once; the endpoints read it. Inside the sandbox only.
#pragma once

#include "tests/support/sandbox/sandbox.h"

#include <exception>

namespace tally::sandbox {

struct Sandbox::Call {
  std::string method;
  std::string path;
  Form form;         // of the body for POST, of the query for others
  std::string body;  // of a POST to /v2, which is JSON
  Form elsewhere;    // what stands where Stripe does not read it
  std::string idempotency_key;
  std::string request_id;
  std::string version;       // of the API, that it asks for or the account has
  std::string reject_later;  // the code with which a good event is rejected; "": it is not
  Time at;                   // when it came
  std::chrono::milliseconds delay{0};  // how long this call stays in flight
  bool admitted = false;               // by the limiter

  [[nodiscard]] bool is(std::string_view wanted_method, std::string_view wanted_path) const {
    return method == wanted_method && path == wanted_path;
  }
  // Whether the path goes on after `folder` ("/v1/customers/"); `rest` is then what follows.
  [[nodiscard]] bool is_below(std::string_view folder, std::string_view& rest) const {
    if (!path.starts_with(folder)) return false;
    rest = std::string_view(path).substr(folder.size());
    return true;
  }
};

// Says what is wrong and ends the process, so that nothing half done is answered or kept.
[[noreturn]] void give_up(const std::exception& problem);

template <typename Work>
auto Sandbox::whole(const Work& work) {
  try {
    moment_ = options_.real_now();
    return work();
  } catch (const StateFileFull&) {
    throw;
  } catch (const std::exception& problem) {
    give_up(problem);
  }
}

// What follows the `?` of a request's target; "" without one.
[[nodiscard]] std::string_view query_of(const runtime::http::Request& request);
// limit, starting_after and ending_before.
[[nodiscard]] Refused read_page(const Form& form, PageRequest& out);
// Refuses what `known` says is none of the allowed.
[[nodiscard]] Refused choice(std::string_view key, std::string_view allowed, bool known);
[[nodiscard]] Reply unknown_url(std::string_view method, std::string_view path);
// A 404 that the endpoint decided; kept.
[[nodiscard]] Reply no_such(std::string_view kind, std::string_view id);

constexpr std::size_t kMaxName = 100;
// The one endpoint that takes the token of a session for a key.
constexpr std::string_view kStreamPath = "/v2/billing/meter_event_stream";

}  // namespace tally::sandbox
