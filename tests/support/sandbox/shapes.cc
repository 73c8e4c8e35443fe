// How meters and events look in JSON, and the names of their enums.
#include "tests/support/sandbox/books.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace tally::sandbox {

using nlohmann::json;

std::string_view name_of(Formula formula) {
  switch (formula) {
    case Formula::kSum:
      return "sum";
    case Formula::kCount:
      return "count";
    case Formula::kLast:
      return "last";
  }
  return "?";
}

std::optional<Formula> formula_of(std::string_view name) {
  if (name == "sum") return Formula::kSum;
  if (name == "count") return Formula::kCount;
  if (name == "last") return Formula::kLast;
  return std::nullopt;
}

std::optional<TimeWindow> window_of(std::string_view name) {
  if (name.empty()) return TimeWindow::kNone;
  if (name == "hour") return TimeWindow::kHour;
  if (name == "day") return TimeWindow::kDay;
  return std::nullopt;
}

std::int64_t seconds_of(TimeWindow window) {
  switch (window) {
    case TimeWindow::kNone:
      return 0;
    case TimeWindow::kHour:
      return 3'600;
    case TimeWindow::kDay:
      return kDaySeconds;
  }
  return 0;
}

json json_of(const Meter& meter) {
  const auto window = [&]() -> json {
    if (meter.window == TimeWindow::kNone) return nullptr;
    return meter.window == TimeWindow::kHour ? "hour" : "day";
  };
  return {{"id", meter.id},
          {"object", "billing.meter"},
          {"created", meter.created},
          {"updated", meter.updated},
          {"customer_mapping", {{"event_payload_key", meter.customer_key}, {"type", "by_id"}}},
          {"default_aggregation", {{"formula", name_of(meter.formula)}}},
          {"display_name", meter.display_name},
          {"event_name", meter.event_name},
          {"event_time_window", window()},
          {"livemode", false},
          {"status", meter.active() ? "active" : "inactive"},
          {"status_transitions",
           {{"deactivated_at", meter.active() ? json(nullptr) : json(*meter.deactivated_at)}}},
          {"value_settings", {{"event_payload_key", meter.value_key}}}};
}

Meter meter_of(const json& shown) {
  Meter meter;
  meter.id = shown.at("id");
  meter.event_name = shown.at("event_name");
  meter.display_name = shown.at("display_name");
  const std::string name = shown.at("default_aggregation").at("formula");
  const auto formula = formula_of(name);
  const json& window_name = shown.at("event_time_window");
  const auto window = window_of(window_name.is_null() ? "" : window_name.get<std::string>());
  if (!formula || !window) {
    throw std::runtime_error("a meter of no known formula or window: " + shown.dump());
  }
  meter.formula = *formula;
  meter.window = *window;
  meter.customer_key = shown.at("customer_mapping").at("event_payload_key");
  meter.value_key = shown.at("value_settings").at("event_payload_key");
  meter.created = shown.at("created");
  meter.updated = shown.at("updated");
  const json& deactivated = shown.at("status_transitions").at("deactivated_at");
  if (!deactivated.is_null()) meter.deactivated_at = deactivated.get<std::int64_t>();
  return meter;
}

namespace {

constexpr std::array<std::string_view, 3> kStates = {"pending", "counted", "rejected"};

}  // namespace

json json_of(const Event& event) {
  json out = {{"meter", event.meter_id},
              {"event_name", event.sent.event_name},
              {"identifier", event.sent.identifier},
              {"idempotency_key", event.sent.idempotency_key},
              {"customer", event.customer},
              {"payload", event.sent.payload},
              {"value", text_of(event.value)},
              {"timestamp", event.sent.timestamp},
              {"received", event.received},
              {"due", event.due},
              {"state", kStates[static_cast<std::size_t>(event.state)]},
              {"code", event.code},
              {"message", event.message},
              {"cancelled", event.cancelled}};
  if (!event.reject_later.empty()) out["reject_later"] = event.reject_later;
  return out;
}

Event event_of(const json& shown) {
  Event event;
  event.meter_id = shown.at("meter");
  event.sent.event_name = shown.at("event_name");
  event.sent.identifier = shown.at("identifier");
  event.sent.idempotency_key = shown.at("idempotency_key");
  event.sent.payload = shown.at("payload").get<std::map<std::string, std::string>>();
  event.sent.timestamp = shown.at("timestamp");
  event.customer = shown.at("customer");
  event.value = parse_value(shown.at("value").get<std::string>()).units;
  event.received = shown.at("received");
  event.due = shown.at("due");
  const auto state =
      std::find(kStates.begin(), kStates.end(), shown.at("state").get<std::string>());
  if (state == kStates.end()) throw std::runtime_error("an event of no state");
  event.state = static_cast<EventState>(state - kStates.begin());
  event.code = shown.at("code");
  event.message = shown.at("message");
  event.cancelled = shown.at("cancelled");
  event.reject_later = shown.value("reject_later", "");
  return event;
}

}  // namespace tally::sandbox
