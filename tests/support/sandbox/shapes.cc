// How meters and events look in JSON, and the names of their enums.
#include "tests/support/sandbox/books.h"

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
  meter.formula = formula_of(shown.at("default_aggregation").at("formula").get<std::string>())
                      .value_or(Formula::kSum);
  const json& window = shown.at("event_time_window");
  meter.window =
      window_of(window.is_null() ? "" : window.get<std::string>()).value_or(TimeWindow::kNone);
  meter.customer_key = shown.at("customer_mapping").at("event_payload_key");
  meter.value_key = shown.at("value_settings").at("event_payload_key");
  meter.created = shown.at("created");
  meter.updated = shown.at("updated");
  const json& deactivated = shown.at("status_transitions").at("deactivated_at");
  if (!deactivated.is_null()) meter.deactivated_at = deactivated.get<std::int64_t>();
  return meter;
}

json json_of(const Event& event, const Meter& meter) {
  return {{"meter", event.meter_id},        {"event_name", meter.event_name},
          {"identifier", event.identifier}, {"customer", event.customer},
          {"payload", event.payload},       {"value", text_of(event.value)},
          {"timestamp", event.timestamp},   {"received", event.received},
          {"cancelled", event.cancelled}};
}

Event event_of(const json& shown) {
  Event event;
  event.meter_id = shown.at("meter");
  event.identifier = shown.at("identifier");
  event.customer = shown.at("customer");
  event.payload = shown.at("payload").get<std::map<std::string, std::string>>();
  event.value = parse_value(shown.at("value").get<std::string>()).units;
  event.timestamp = shown.at("timestamp");
  event.received = shown.at("received");
  event.cancelled = shown.at("cancelled");
  return event;
}

}  // namespace tally::sandbox
