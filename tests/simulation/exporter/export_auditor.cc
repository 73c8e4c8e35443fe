#include "tests/simulation/exporter/export_auditor.h"

#include <fmt/format.h>

namespace tally::simulation::exporting {
namespace {

using core::Decimal;
using exporter::Formula;
using exporter::RowState;

Decimal number(Whole count, int decimals) {
  return Decimal::parse(text_of(count, decimals)).value();
}

}  // namespace

void ExportAuditor::taken(const exporter::MeterEvent& event) {
  const StoredRow* stored = books_.by_identifier(event.identifier);
  if (stored == nullptr)
    return scheduler_.broken(fmt::format("{} was sent and is in no outbox", event.identifier));
  if (stored->row.state == RowState::kPlanned || stored->row.state == RowState::kRejected)
    return scheduler_.broken(fmt::format("Stripe takes {}, which is {} in the outbox",
                                         event.identifier, to_string(stored->row.state)));
  const core::Window& period = usage_.periods[stored->period];
  if (event.timestamp_seconds < period.start.seconds() ||
      event.timestamp_seconds + 60 > period.end.seconds())
    return scheduler_.broken(fmt::format("{} is not inside its period", event.identifier));
  if (event.value != stored->row.value ||
      event.timestamp_seconds != stored->row.event_time.seconds())
    return scheduler_.broken(fmt::format("{} is not what was written", event.identifier));
  AtStripe& at = at_stripe_[{stored->series, stored->period}];
  const Decimal value = Decimal::parse(event.value).value();
  if (event.timestamp_seconds >= at.newest_seconds) {
    at.newest_seconds = event.timestamp_seconds;
    at.last = value;
  }
  at.sum = at.sum.checked_add(value).value();
  const exporter::Series& series = usage_.series[stored->series];
  if (series.formula == Formula::kLast) return;
  usage_.remember_targets(wall_clock(scheduler_));
  const Usage::Book& book = usage_.books.at({stored->series, stored->period});
  if (at.sum < number(book.least, series.decimals) || at.sum > number(book.most, series.decimals))
    scheduler_.broken(fmt::format("{}: Stripe's total is {}, and at most {} was ever due",
                                  event.identifier, at.sum.to_string(),
                                  text_of(book.most, series.decimals)));
}

Decimal ExportAuditor::due(const Key& key) const {
  return number(usage_.target(key.first, key.second, wall_clock(scheduler_)),
                usage_.series[key.first].decimals);
}

bool ExportAuditor::settled() {
  const exporter::OutboxStanding standing = books_.standing();
  pending_ = fmt::format("{} planned, {} sending, {} uncertain, {} under way", standing.planned,
                         standing.sending, standing.uncertain, stripe_.under_way());
  if (standing.planned + standing.sending + standing.uncertain + stripe_.under_way() > 0)
    return false;
  for (const auto& [key, book] : usage_.books) {
    const exporter::Series& series = usage_.series[key.first];
    if (!book.used) continue;
    const auto planned = books_.planned(key.first, key.second);
    if (planned == due(key)) continue;
    pending_ = fmt::format("{} of {}, period {}: {} is due, {} planned", series.meter,
                           series.tenant, key.second, due(key).to_string(),
                           planned.has_value() ? planned->to_string() : "nothing");
    return false;
  }
  return true;
}

std::string ExportAuditor::judge(const Key& key) const {
  const exporter::Series& series = usage_.series[key.first];
  const auto found = at_stripe_.find(key);
  const AtStripe at = found == at_stripe_.end() ? AtStripe() : found->second;
  const Decimal shown = series.formula == Formula::kLast ? at.last : at.sum;
  if (shown == due(key)) return {};
  return fmt::format("{} of {}, period {}: Stripe shows {}, due is {}", series.meter, series.tenant,
                     key.second, shown.to_string(), due(key).to_string());
}

std::string ExportAuditor::at_rest() {
  if (books_.standing().held > 0) return "a row is held, and nothing was unclear";
  for (const auto& [key, book] : usage_.books) {
    if (!book.used) continue;
    const std::string broken = judge(key);
    if (!broken.empty()) return broken;
  }
  for (const auto& [id, stored] : books_.rows()) {
    const bool taken = stripe_.has_taken(stored.row.identifier);
    if (stored.row.state == RowState::kDelivered && !taken)
      return fmt::format("{} is delivered and never reached Stripe", stored.row.identifier);
    // A gauge's 0 cannot be told from nothing, and may be stated twice.
    if (stored.row.state == RowState::kRejected && taken && !stored.value.is_zero())
      return fmt::format("{} is rejected and was counted", stored.row.identifier);
  }
  const auto rounded = [&](const Key& key) {
    return usage_.series[key.first].formula == Formula::kSum &&
           number(usage_.books.at(key).total, kUseDecimals) != due(key);
  };
  for (const auto& [key, book] : usage_.books)
    coverage_.count(Event::kRounded, rounded(key) ? 1 : 0);
  return {};
}

}  // namespace tally::simulation::exporting
