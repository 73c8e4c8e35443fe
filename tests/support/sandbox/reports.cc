#include "tests/support/sandbox/reports.h"

#include "tests/support/sandbox/times.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::sandbox {
namespace {

using nlohmann::json;

json error_types_of(const std::vector<Rejection>& rejections, std::int64_t samples) {
  std::map<std::string, std::vector<const Rejection*>> by_code;
  for (const Rejection& one : rejections) by_code[one.code].push_back(&one);
  json types = json::array();
  for (const auto& [code, of_it] : by_code) {
    json shown = json::array();
    const auto count = std::min(of_it.size(), static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < count; ++i) {
      shown.push_back(
          {{"error_message", of_it[i]->message}, {"request", {{"identifier", of_it[i]->request}}}});
    }
    types.push_back(
        {{"code", code}, {"error_count", of_it.size()}, {"sample_errors", std::move(shown)}});
  }
  return types;
}

json related_object(const std::string& meter) {
  if (meter.empty()) return nullptr;
  return {{"id", meter}, {"type", "billing.meter"}, {"url", "/v1/billing/meters/" + meter}};
}

json event_of(std::string id, const std::string& meter, std::int64_t start,
              const std::vector<Rejection>& rejections, std::int64_t samples) {
  const std::int64_t end = start + kReportSeconds;
  return {{"id", std::move(id)},
          {"object", "v2.core.event"},
          {"type", meter.empty() ? "v1.billing.meter.no_meter_found"
                                 : "v1.billing.meter.error_report_triggered"},
          {"created", rfc3339(end)},
          {"livemode", false},
          {"context", nullptr},
          {"reason", nullptr},
          {"related_object", related_object(meter)},
          {"data",
           {{"developer_message_summary",
             fmt::format("There were {} invalid meter events.", rejections.size())},
            {"validation_start", rfc3339(start)},
            {"validation_end", rfc3339(end)},
            {"reason",
             {{"error_count", rejections.size()},
              {"error_types", error_types_of(rejections, samples)}}}}}};
}

}  // namespace

void Reports::add(Rejection rejection) {
  const std::int64_t start = rejection.at - rejection.at % kReportSeconds;
  open_[{start, rejection.meter_id}].push_back(std::move(rejection));
}

std::vector<json> Reports::publish(std::int64_t now, std::int64_t samples) {
  std::vector<json> made;
  while (!open_.empty() && open_.begin()->first.first + kReportSeconds <= now) {
    const auto& [window, rejections] = *open_.begin();
    const auto& [start, meter] = window;
    made.push_back(event_of(fmt::format("evt_test_thin_{:08}", published_.size() + 1), meter, start,
                            rejections, samples));
    published_.push_back({start + kReportSeconds, made.back()});
    open_.erase(open_.begin());
  }
  return made;
}

void Reports::restore(const json& event) {
  const std::string created = event.at("created");
  const json& related = event.at("related_object");
  const std::string meter = related.is_null() ? "" : related.at("id").get<std::string>();
  const auto open = std::find_if(open_.begin(), open_.end(), [&](const auto& entry) {
    return entry.first.second == meter && rfc3339(entry.first.first + kReportSeconds) == created;
  });
  if (open == open_.end()) throw std::runtime_error("a report of what was not rejected");
  published_.push_back({open->first.first + kReportSeconds, event});
  open_.erase(open);
}

const json* Reports::find(std::string_view id, std::int64_t now) const {
  const auto found = std::find_if(published_.begin(), published_.end(),
                                  [&](const Published& one) { return one.event["id"] == id; });
  const bool is_there = found != published_.end() && now - found->created <= kReportKeptSeconds;
  return is_there ? &found->event : nullptr;
}

json Reports::delivered(std::size_t from, std::size_t limit) const {
  json out = json::array();
  for (std::size_t i = from; i < published_.size() && out.size() < limit; ++i) {
    out.push_back(published_[i].event);
    out.back().erase("data");
  }
  return out;
}

}  // namespace tally::sandbox
