// POST /v1/billing/meter_events: the form that is sent and the answer that is read; GET of a
// minute's event summary. Facts in schemas/http and the README; what an answer means is decided
// elsewhere (exporter/delivery_rules.h, exporter/read_back.h).
#pragma once

#include "exporter/meter_event_api.h"
#include "runtime/stripe/client.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tally::exporter::stripe {

// The form of a meter event.
[[nodiscard]] std::string form_of(const MeterEvent& event);
[[nodiscard]] ApiAnswer answer_of(const runtime::stripe::Answer& answer);

// The aggregated values of a page of event summaries, as Stripe wrote them. nullopt: not such a
// page.
[[nodiscard]] std::optional<std::vector<std::string>> summary_values_of(const std::string& body);

// One thread at a time.
class MeterEvents final : public MeterEventApi {
 public:
  // Throws std::invalid_argument when the URL is none.
  explicit MeterEvents(runtime::stripe::Endpoint endpoint) : client_(std::move(endpoint)) {}
  ApiAnswer send(const MeterEvent& event) override;
  // Of all meters that have or had the event name: who took the row may be inactive by now. Their
  // ids are looked up anew each time, as a meter may have been made since.
  MinuteReading read_minute(const MinuteQuery& query) override;

 private:
  [[nodiscard]] std::vector<std::string> meters_of(const std::string& event_name,
                                                   std::string& problem);

  runtime::stripe::Client client_;
};

}  // namespace tally::exporter::stripe
