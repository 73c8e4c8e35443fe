// POST /v1/billing/meter_events: the form that is sent and the answer that is read; GET of a
// minute's event summary. Facts in schemas/http and the README; what an answer means is decided
// elsewhere (exporter/delivery_rules.h, exporter/read_back.h).
#pragma once

#include "exporter/meter_event_api.h"
#include "runtime/http/client.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

// A page of GET /v1/billing/meters: the ids of those with `event_name`, active or not, and the last
// id of the page while more follow. nullopt: not such a page.
struct MeterPage {
  std::vector<std::string> ids;
  std::string more_after;
};
[[nodiscard]] std::optional<MeterPage> meter_page_of(const std::string& body,
                                                     std::string_view event_name);
// The aggregated values of a page of event summaries, as Stripe wrote them. nullopt: not such a
// page.
[[nodiscard]] std::optional<std::vector<std::string>> summary_values_of(const std::string& body);

// One thread at a time.
class MeterEvents final : public MeterEventApi {
 public:
  // Throws std::invalid_argument when the URL is none.
  explicit MeterEvents(Endpoint endpoint)
      : endpoint_(std::move(endpoint)), client_(endpoint_.url) {}
  ApiAnswer send(const MeterEvent& event) override;
  // Of all meters that have or had the event name: who took the row may be inactive by now. Their
  // ids are looked up anew each time, as a meter may have been made since.
  MinuteReading read_minute(const MinuteQuery& query) override;

 private:
  // The body of a 200; else "" and the problem.
  [[nodiscard]] std::string get(const std::string& target, std::string& problem);
  [[nodiscard]] std::vector<std::string> meters_of(const std::string& event_name,
                                                   std::string& problem);

  Endpoint endpoint_;
  runtime::http::Client client_;
};

}  // namespace tally::exporter::stripe
