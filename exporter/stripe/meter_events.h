// POST /v1/billing/meter_events: the form that is sent and the answer that is read. Facts in
// schemas/http and the README; what an answer means is decided elsewhere
// (exporter/delivery_rules.h).
#pragma once

#include "exporter/meter_event_api.h"
#include "runtime/http/client.h"

#include <chrono>
#include <string>

namespace tally::exporter::stripe {

// Stripe-Version of every request: answers keep their shape when the account's default moves.
inline constexpr std::string_view kStripeVersion = "2026-10-28.endive";

struct Endpoint {
  std::string url;  // "https://api.stripe.com" or the local sandbox
  std::string key;  // never logged
  std::chrono::milliseconds timeout{30'000};
};

// Nothing but loopback may be reached without a real key. `host` is in the URL's words: names do
// not resolve here, so only 127.x.x.x, [::1] and localhost are loopback.
[[nodiscard]] bool is_loopback_url(std::string_view url);

[[nodiscard]] runtime::http::Request request_of(const MeterEvent& event, const std::string& key);
[[nodiscard]] ApiAnswer answer_of(const runtime::http::Outcome& outcome);

// One thread at a time.
class MeterEvents final : public MeterEventApi {
 public:
  // Throws std::invalid_argument when the URL is none.
  explicit MeterEvents(Endpoint endpoint)
      : endpoint_(std::move(endpoint)), client_(endpoint_.url) {}
  ApiAnswer send(const MeterEvent& event) override;

 private:
  Endpoint endpoint_;
  runtime::http::Client client_;
};

}  // namespace tally::exporter::stripe
