#include "exporter/read_back.h"

#include "core/check.h"

namespace tally::exporter {
namespace {

using core::Decimal;
using core::Timestamp;

std::int64_t seconds_since(Timestamp earlier, Timestamp now) {
  return (now.micros() - earlier.micros()) / 1'000'000;
}

// What a minute shows; nullopt: no event. A sum of nothing may be shown as 0, and no row but a
// gauge's is 0; to state a gauge's 0 once more is harmless.
std::optional<std::string> shown_in(const MinuteReading& reading) {
  if (!reading.has_meter) return "no meter of that name";
  if (!reading.value.has_value()) return std::nullopt;
  const auto number = Decimal::parse(*reading.value);
  if (!number) return reading.value;
  if (number.value().is_zero()) return std::nullopt;
  return number.value().to_string();
}

}  // namespace

bool is_due(const UncertainRow& row, Timestamp now) {
  if (seconds_since(row.last_sent_at, now) < kFirstReadingSeconds) return false;
  return !row.read_at.has_value() || seconds_since(*row.read_at, now) >= kBetweenReadingsSeconds;
}

Settlement settle_by(const UncertainRow& row, const MinuteReading& reading, Timestamp now) {
  TALLY_CHECK(reading.answered && is_due(row, now), "row {} is read too early", row.id);
  Settlement settlement;
  settlement.id = row.id;
  settlement.at = now;
  const std::optional<std::string> shown = shown_in(reading);
  if (shown == row.value.to_string()) {
    settlement.state = RowState::kDelivered;
    settlement.reason = "Stripe's summary of its minute shows it";
  } else if (!row.read_at.has_value() || shown != row.read_value) {
    settlement.read_value = shown;  // the first of two
  } else if (!shown.has_value()) {
    settlement.state = RowState::kRejected;
    settlement.reason = "Stripe's summary of its minute showed nothing, twice: it never arrived";
  } else {
    settlement.state = RowState::kHeld;
    settlement.reason = fmt::format("Stripe's summary of its minute shows {}, twice, and not {}",
                                    *shown, row.value.to_string());
  }
  return settlement;
}

void ReadBackCounts::add(const ReadBackCounts& other) {
  readings += other.readings;
  delivered += other.delivered;
  absent += other.absent;
  held += other.held;
}

ReadBackCounts read_back(ExportStore& store, MeterEventApi& api, SenderClock& clock) {
  ReadBackCounts counts;
  int unanswered = 0;
  for (const UncertainRow& row : store.uncertain_rows()) {
    if (counts.readings == kReadingsPerCycle || unanswered == kUnansweredReadings) break;
    if (!clock.wait(std::chrono::milliseconds(0))) break;
    if (!is_due(row, clock.now())) continue;
    ++counts.readings;
    const MinuteReading reading =
        api.read_minute({row.event_name, row.stripe_customer, row.event_time.seconds()});
    if (!reading.answered) {
      ++unanswered;
      continue;
    }
    unanswered = 0;
    const Settlement settlement = settle_by(row, reading, clock.now());
    store.settle(settlement);
    if (settlement.state == RowState::kDelivered) ++counts.delivered;
    if (settlement.state == RowState::kRejected) ++counts.absent;
    if (settlement.state == RowState::kHeld) ++counts.held;
  }
  return counts;
}

}  // namespace tally::exporter
