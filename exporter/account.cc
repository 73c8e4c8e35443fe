#include "exporter/account.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace tally::exporter {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kShownRemarks = 20;

std::size_t open_rows(const Account& account) {
  return account.standing.planned + account.standing.sending;
}

void append_remarks(std::string& text, std::string_view label, const std::vector<Remark>& remarks) {
  for (std::size_t i = 0; i < std::min(remarks.size(), kShownRemarks); ++i) {
    text +=
        fmt::format("  {}: tenant {}, meter {}, period from {}: {}\n", label, remarks[i].tenant,
                    remarks[i].meter, core::to_rfc3339(remarks[i].period_start), remarks[i].reason);
  }
  if (remarks.size() > kShownRemarks) {
    text += fmt::format("  {}: {} more; see tally.export_period\n", label,
                        remarks.size() - kShownRemarks);
  }
}

Json remarks_json(const std::vector<Remark>& remarks) {
  Json all = Json::array();
  for (const Remark& remark : remarks) {
    all.push_back({{"tenant", remark.tenant},
                   {"meter", remark.meter},
                   {"period_start", core::to_rfc3339(remark.period_start)},
                   {"reason", remark.reason}});
  }
  return all;
}

}  // namespace

bool Account::complete() const {
  return sent.rejected == 0 && standing.uncertain == 0 && standing.held == 0 && held.empty() &&
         waiting.empty() && standing.planned + standing.sending == 0 && stopped_because.empty();
}

std::string account_text(const Account& account) {
  std::string text;
  const auto line = [&](std::string_view name, std::size_t count, std::string_view note) {
    text += fmt::format("  {:<20}{:>10}{}{}\n", name, count, note.empty() ? "" : "  ", note);
  };
  const std::size_t duplicates = account.sent.duplicates;
  line("rows planned", account.rows_planned, "");
  line("delivered", account.sent.delivered,
       duplicates == 0 ? "" : fmt::format("{} of them by an earlier send", duplicates));
  line("rejected", account.sent.rejected, "");
  if (account.read_back.readings > 0) {
    line("read back", account.read_back.readings,
         fmt::format("{} delivered, {} never arrived", account.read_back.delivered,
                     account.read_back.absent));
  }
  line("uncertain", account.standing.uncertain, "");
  line("held", account.standing.held + account.held.size(), "");
  line("still open", open_rows(account), "");
  line("waiting", account.waiting.size(), "");
  append_remarks(text, "held", account.held);
  append_remarks(text, "waiting", account.waiting);
  for (const std::string& meter : account.not_exported) text += "  not exported: " + meter + "\n";
  if (!account.stopped_because.empty()) text += "  stopped: " + account.stopped_because + "\n";
  text += account.complete()
              ? "everything that is due is delivered\n"
              : "not everything is delivered: see tally.outbox and tally.export_attempt\n";
  return text;
}

std::string account_json(const Account& account) {
  const Json json{{"rows_planned", account.rows_planned},
                  {"delivered", account.sent.delivered},
                  {"duplicates", account.sent.duplicates},
                  {"rejected", account.sent.rejected},
                  {"read_back_delivered", account.read_back.delivered},
                  {"read_back_absent", account.read_back.absent},
                  {"uncertain", account.standing.uncertain},
                  {"held", account.standing.held + account.held.size()},
                  {"open", open_rows(account)},
                  {"waiting", account.waiting.size()},
                  {"attempts", account.sent.attempts},
                  {"held_periods", remarks_json(account.held)},
                  {"waiting_periods", remarks_json(account.waiting)},
                  {"meters_not_exported", account.not_exported},
                  {"stopped_because", account.stopped_because},
                  {"complete", account.complete()}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string plan_text(const PlanResult& plan) {
  std::string text = fmt::format("{:<24} {:<20} {:<24} {:<20} {:>20}\n", "customer", "meter",
                                 "tenant", "event time", "value");
  for (const NewRow& row : plan.rows) {
    const Series& series = plan.series[row.series];
    text +=
        fmt::format("{:<24} {:<20} {:<24} {:<20} {:>20}\n", series.stripe_customer, series.meter,
                    series.tenant, core::to_rfc3339(row.event_time), row.value.to_string());
  }
  append_remarks(text, "held", plan.held);
  append_remarks(text, "waiting", plan.waiting);
  for (const std::string& meter : plan.not_exported) text += "  not exported: " + meter + "\n";
  text += fmt::format("{} rows would be planned{}; nothing was written or sent\n", plan.rows.size(),
                      plan.more_follows ? ", more once they are delivered" : "");
  return text;
}

std::string plan_json(const PlanResult& plan) {
  Json rows = Json::array();
  for (const NewRow& row : plan.rows) {
    const Series& series = plan.series[row.series];
    rows.push_back({{"stripe_customer", series.stripe_customer},
                    {"tenant", series.tenant},
                    {"meter", series.meter},
                    {"event_name", series.event_name},
                    {"period_start", core::to_rfc3339(row.period.start)},
                    {"event_time", core::to_rfc3339(row.event_time)},
                    {"quantity", row.quantity.to_string()},
                    {"value", row.value.to_string()},
                    {"identifier", row.identifier}});
  }
  const Json json{{"rows", rows},
                  {"held_periods", remarks_json(plan.held)},
                  {"waiting_periods", remarks_json(plan.waiting)},
                  {"meters_not_exported", plan.not_exported},
                  {"more_follows", plan.more_follows}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tally::exporter
