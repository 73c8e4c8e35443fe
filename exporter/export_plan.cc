#include "exporter/export_plan.h"

#include "core/check.h"
#include "exporter/identifier.h"
#include "exporter/quantise.h"

#include <algorithm>
#include <numeric>

namespace tally::exporter {
namespace {

using core::Decimal;
using core::Timestamp;

constexpr std::int64_t kMinuteMicros = kMinuteSeconds * 1'000'000;

Timestamp plus_seconds(Timestamp time, std::int64_t seconds) {
  return Timestamp::from_micros(time.micros() + seconds * 1'000'000);
}
Timestamp minute_floor(Timestamp time) {
  return Timestamp::from_micros(time.micros() / kMinuteMicros * kMinuteMicros);
}
Timestamp minute_ceil(Timestamp time) {
  return minute_floor(Timestamp::from_micros(time.micros() + kMinuteMicros - 1));
}

// What one account asks for: nothing, an amount, or an obstacle.
struct Finding {
  enum class Kind { kNothing, kDue, kHeld, kWaiting } kind = Kind::kNothing;
  Decimal value;
  MinuteRange minutes;
  bool more_follows = false;
  std::string reason;
};

Finding held(std::string reason) {
  return {Finding::Kind::kHeld, {}, {}, false, std::move(reason)};
}
Finding waiting(std::string reason) {
  return {Finding::Kind::kWaiting, {}, {}, false, std::move(reason)};
}

std::int64_t rejection_delay_seconds(int rejections) {
  std::int64_t delay = kFirstRejectionDelaySeconds;
  for (int i = 1; i < rejections && delay < kLongestRejectionDelaySeconds; ++i) delay *= 2;
  return std::min(delay, kLongestRejectionDelaySeconds);
}

// The whole minutes inside the period that Stripe would take now. May be empty (oldest > newest).
MinuteRange usable_minutes(const Series& series, const PeriodAccount& account, Timestamp now) {
  const bool closed = now >= account.period.end;
  const Timestamp last_inside = minute_floor(plus_seconds(account.period.end, -kMinuteSeconds));
  MinuteRange range;
  range.newest = std::min(last_inside, minute_floor(now));
  range.oldest = std::max(minute_ceil(account.period.start),
                          minute_ceil(plus_seconds(now, -kOldestEventSeconds)));
  if (series.formula == Formula::kSum) {
    const std::int64_t reach = closed ? kClosedSearchSeconds : kOpenSearchSeconds;
    range.oldest = std::max(range.oldest, plus_seconds(range.newest, -reach));
    return range;
  }
  // A gauge's event stands at its reading, and each later than the one before: Stripe takes the
  // last. The period's end is left free for those that are still to come.
  if (account.newest_reading.has_value()) {
    const Timestamp reading = std::min(minute_floor(*account.newest_reading),
                                       plus_seconds(last_inside, -kGaugeSpareSeconds));
    range.oldest = std::max(range.oldest, std::min(reading, range.newest));
  }
  if (account.progress.last_event_time.has_value()) {
    range.oldest =
        std::max(range.oldest, plus_seconds(*account.progress.last_event_time, kMinuteSeconds));
  }
  return range;
}

// The amount in Stripe's units that should be there and is not; `no amount` says why not.
Finding difference(const Series& series, const PeriodAccount& account, Timestamp now) {
  const auto total = Decimal::parse(account.total);
  if (!total) {
    return held(
        fmt::format("the total {} cannot be exported ({}): 26 digits before the point and 12 "
                    "after it are the limit; correct the usage, or use a coarser unit",
                    account.total, total.error().message));
  }
  const bool carries = series.formula == Formula::kSum && now < account.period.end;
  const auto target = to_stripe_units(total.value(), series.multiplier, series.decimals,
                                      carries ? core::Rounding::kDown : series.rounding);
  if (!target.has_value()) {
    return held(fmt::format("{} x {} needs more than 38 digits: use a smaller multiplier",
                            account.total, series.multiplier.to_string()));
  }
  if (series.formula == Formula::kLast) {
    if (account.progress.stated == target) return {};
    if (printed_digits(*target) > kMaxStripeDigits) {
      return held(
          fmt::format("the reading {} has more than {} digits and cannot be split: use a "
                      "smaller multiplier or fewer decimals",
                      target->to_string(), kMaxStripeDigits));
    }
    return {Finding::Kind::kDue, *target, {}, false, {}};
  }
  const auto missing = target->checked_subtract(account.progress.planned);
  if (!missing.has_value()) return held("the difference to export needs more than 38 digits");
  if (missing->is_zero()) return {};
  const auto chunk = first_chunk(*missing);
  if (!chunk.has_value()) {
    return held(
        fmt::format("{} would need more than {} events of {} digits: use a smaller multiplier",
                    missing->to_string(), kMaxChunks, kMaxStripeDigits));
  }
  return {Finding::Kind::kDue, *chunk, {}, *chunk != *missing, {}};
}

Finding examine(const Series& series, const PeriodAccount& account, Timestamp now,
                AfterRejection after_rejection) {
  Finding finding = difference(series, account, now);
  if (finding.kind != Finding::Kind::kDue) return finding;
  if (!to_tally_units(finding.value, series.multiplier).has_value()) {
    return held(
        fmt::format("the multiplier {} is out of range: it must not be 0 nor have more than "
                    "25 digits before the point",
                    series.multiplier.to_string()));
  }
  finding.minutes = usable_minutes(series, account, now);
  if (plus_seconds(now, -kOldestEventSeconds) > plus_seconds(account.period.end, -kMinuteSeconds)) {
    return held(
        fmt::format("{} is due, but the period ended {}: Stripe takes no event older than 35 "
                    "days; bill it by an invoice item or write it off",
                    finding.value.to_string(), core::to_rfc3339(account.period.end)));
  }
  if (finding.minutes.oldest > finding.minutes.newest) {
    return waiting("no free minute of the period has begun yet");
  }
  const Progress& progress = account.progress;
  if (progress.rejections > 0 && progress.last_rejected_at.has_value() &&
      after_rejection == AfterRejection::kWait) {
    const Timestamp again =
        plus_seconds(*progress.last_rejected_at, rejection_delay_seconds(progress.rejections));
    if (now < again) {
      return waiting(fmt::format("Stripe rejected the last {} rows; the next is planned at {}",
                                 progress.rejections, core::to_rfc3339(again)));
    }
  }
  return finding;
}

}  // namespace

DuePlan find_due(std::span<const Series> series, std::span<const PeriodAccount> accounts,
                 const std::vector<bool>& open_series, Timestamp now,
                 AfterRejection after_rejection) {
  TALLY_CHECK(open_series.size() == series.size());
  std::vector<std::size_t> order(accounts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(accounts[a].series, accounts[a].period.start) <
           std::tie(accounts[b].series, accounts[b].period.start);
  });

  DuePlan plan;
  std::vector<std::size_t> planned(series.size(), accounts.size());  // index into plan.due
  for (const std::size_t index : order) {
    const PeriodAccount& account = accounts[index];
    TALLY_CHECK(account.series < series.size());
    Finding finding = examine(series[account.series], account, now, after_rejection);
    if (finding.kind == Finding::Kind::kHeld) {
      plan.held.push_back({index, std::move(finding.reason)});
    } else if (finding.kind == Finding::Kind::kWaiting) {
      plan.waiting.push_back({index, std::move(finding.reason)});
    } else if (finding.kind == Finding::Kind::kDue) {
      std::size_t& earlier = planned[account.series];
      if (open_series[account.series]) {
        ++plan.behind_open_rows;
      } else if (earlier != accounts.size()) {
        plan.due[earlier].more_follows = true;
      } else {
        earlier = plan.due.size();
        plan.due.push_back({index, finding.value, finding.minutes, finding.more_follows});
      }
    }
  }
  return plan;
}

namespace {

std::optional<Timestamp> free_minute(Formula formula, MinuteRange range,
                                     const std::vector<Timestamp>& used) {
  const bool newest_first = formula == Formula::kSum;
  const std::int64_t step = newest_first ? -kMinuteSeconds : kMinuteSeconds;
  Timestamp minute = newest_first ? range.newest : range.oldest;
  for (; minute >= range.oldest && minute <= range.newest; minute = plus_seconds(minute, step)) {
    if (!std::binary_search(used.begin(), used.end(), minute)) return minute;
  }
  return std::nullopt;
}

}  // namespace

BirthPlan assign_minutes(std::span<const Series> series, std::span<const PeriodAccount> accounts,
                         const DuePlan& plan, const UsedMinutes& used,
                         const core::IdentityHasher& hasher) {
  static const std::vector<Timestamp> kNone;
  BirthPlan births;
  for (std::size_t i = 0; i < plan.due.size(); ++i) {
    const DueAmount& due = plan.due[i];
    const PeriodAccount& account = accounts[due.account];
    const Series& one = series[account.series];
    const auto minutes = used.find(i);
    const auto minute =
        free_minute(one.formula, due.minutes, minutes == used.end() ? kNone : minutes->second);
    if (!minute.has_value()) {
      births.waiting.push_back({due.account, "every minute that can be used is in use already"});
      continue;
    }
    TALLY_CHECK(*minute >= account.period.start &&
                plus_seconds(*minute, kMinuteSeconds) <= account.period.end);
    const auto quantity = to_tally_units(due.value, one.multiplier);
    TALLY_CHECK(quantity.has_value(), "find_due() lets no such amount pass");
    NewRow row{account.series,
               account.period,
               *quantity,
               due.value,
               *minute,
               account.progress.revision + 1,
               {},
               {}};
    row.identifier = make_identifier(hasher, one, row);
    row.idempotency_key = make_idempotency_key(row.identifier, 1);
    births.rows.push_back(std::move(row));
    births.accounts.push_back(due.account);
  }
  return births;
}

}  // namespace tally::exporter
