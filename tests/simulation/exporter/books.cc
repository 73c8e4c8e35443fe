#include "tests/simulation/exporter/books.h"

#include <algorithm>
#include <stdexcept>

namespace tally::simulation::exporting {
namespace {

using core::Timestamp;
using exporter::Formula;
using exporter::RowState;

bool is_open(RowState state) {
  return state == RowState::kPlanned || state == RowState::kSending ||
         state == RowState::kUncertain;
}

}  // namespace

exporter::OpenSeries Books::open_series() const {
  exporter::OpenSeries open;
  for (const auto& [id, stored] : rows_) {
    if (!is_open(stored.row.state)) continue;
    const exporter::Series& series = usage_.series[stored.series];
    open.by_customer.emplace(series.stripe_customer, series.meter);
    open.by_tenant.emplace(series.tenant, series.meter);
  }
  return open;
}

exporter::Totals Books::totals(Timestamp now) const {
  exporter::Totals totals;
  totals.series = usage_.series;
  for (const auto& [key, book] : usage_.books) {
    const core::Window& period = usage_.periods[key.second];
    if (!book.used || period.start > now) continue;
    exporter::PeriodAccount account{
        key.first, period, text_of(book.total, kUseDecimals), book.read_at, {}};
    const auto progress = periods_.find(key);
    if (progress != periods_.end()) account.progress = progress->second;
    totals.accounts.push_back(std::move(account));
  }
  return totals;
}

exporter::UsedMinutes Books::used_minutes(const exporter::Totals& totals,
                                          const exporter::DuePlan& plan) const {
  exporter::UsedMinutes used;
  for (std::size_t i = 0; i < plan.due.size(); ++i) {
    const exporter::Series& due = totals.series[totals.accounts[plan.due[i].account].series];
    for (const auto& [id, stored] : rows_) {
      const Timestamp minute = stored.row.event_time;
      if (stored.row.stripe_customer == due.stripe_customer &&
          stored.row.event_name == due.event_name && minute >= plan.due[i].minutes.oldest &&
          minute <= plan.due[i].minutes.newest)
        used[i].push_back(minute);
    }
    if (used.contains(i)) std::sort(used[i].begin(), used[i].end());
  }
  return used;
}

void Books::commit_plan(const std::vector<exporter::Obstacle>& held,
                        const std::vector<exporter::NewRow>& rows) {
  const exporter::OpenSeries open = open_series();
  for (const exporter::NewRow& row : rows) {
    if (open.holds(usage_.series[row.series]))
      throw std::runtime_error("outbox_one_open: a second open row");
    for (const auto& [id, stored] : rows_) {
      if (stored.row.stripe_customer == usage_.series[row.series].stripe_customer &&
          stored.row.event_name == usage_.series[row.series].event_name &&
          stored.row.event_time == row.event_time)
        throw std::runtime_error("the minute is in use");
    }
    if (identifiers_.contains(row.identifier)) throw std::runtime_error("identifier in use");
  }
  held_ = held.size();
  for (const exporter::NewRow& row : rows) {
    const std::size_t period = usage_.period_at(row.period.start);
    const exporter::Series& series = usage_.series[row.series];
    exporter::Progress& progress = periods_[{row.series, period}];
    if (progress.revision != row.revision - 1)
      scheduler_.broken("a period moved under the planning lock");
    if (row.event_time < row.period.start ||
        row.event_time.seconds() + 60 > row.period.end.seconds())
      scheduler_.broken(fmt::format("{}: its minute is not inside its period", row.identifier));
    progress.revision = row.revision;
    progress.last_event_time =
        std::max(progress.last_event_time.value_or(row.event_time), row.event_time);
    if (series.formula == Formula::kSum) {
      progress.planned = progress.planned.checked_add(row.value).value();
    } else {
      progress.stated = row.value;
      coverage_.count(Event::kGaugeStated);
    }
    StoredRow stored;
    stored.row.id = next_id_++;
    stored.row.stripe_customer = series.stripe_customer;
    stored.row.event_name = series.event_name;
    stored.row.value = row.value.to_string();
    stored.row.event_time = row.event_time;
    stored.row.identifier = row.identifier;
    stored.row.idempotency_key = row.idempotency_key;
    stored.series = row.series;
    stored.period = period;
    stored.value = row.value;
    identifiers_.emplace(row.identifier, stored.row.id);
    scheduler_.note("born: {} of {} {} at {}", row.identifier, row.value.to_string(), series.meter,
                    core::to_rfc3339(row.event_time));
    rows_.emplace(stored.row.id, std::move(stored));
    coverage_.count(Event::kBorn);
    scheduler_.mix(static_cast<std::uint64_t>(row.value.units()));
  }
  check_sums();
}

void Books::commit_report(const exporter::Report& report,
                          const std::vector<exporter::OutboxRow*>& rows, Timestamp now) {
  // As the UPDATE statements do: what is expected is a part of their WHERE.
  std::map<std::int64_t, RowState> states;
  const auto check = [&](std::int64_t id, int attempts, bool marking) {
    const auto found = states.find(id);
    const exporter::OutboxRow& stored = rows_.at(id).row;
    const RowState state = found == states.end() ? stored.state : found->second;
    const bool expected = state == RowState::kSending || (marking && state == RowState::kPlanned);
    if (expected && stored.attempts == attempts) return;
    coverage_.count(Event::kRefusedByState);
    throw std::runtime_error("an outbox row was no longer as it was taken up");
  };
  for (const exporter::Transition& transition : report.transitions) {
    check(transition.id, transition.attempts, false);
    states[transition.id] = transition.state;
  }
  for (const exporter::OutboxRow* row : rows) check(row->id, row->attempts, true);
  for (const exporter::Transition& transition : report.transitions) apply(transition);
  for (const exporter::OutboxRow* row : rows) {
    rows_.at(row->id).last_sent_at = now;
    exporter::OutboxRow& stored = rows_.at(row->id).row;
    stored.state = RowState::kSending;
    if (!stored.first_sent_at.has_value()) stored.first_sent_at = now;
    ++stored.attempts;
  }
  check_sums();
}

void Books::apply(const exporter::Transition& transition) {
  StoredRow& stored = rows_.at(transition.id);
  scheduler_.note("{}: {} → {} {}", stored.row.identifier, to_string(stored.row.state),
                  to_string(transition.state), transition.reason);
  scheduler_.mix(static_cast<std::uint64_t>(transition.state) << 32U |
                 static_cast<std::uint64_t>(transition.id));
  stored.row.state = transition.state;
  switch (transition.state) {
    case RowState::kPlanned:
      stored.row.first_sent_at.reset();
      coverage_.count(Event::kFreed);
      break;
    case RowState::kSending:
      if (stored.row.key_number != transition.key_number) coverage_.count(Event::kNewKey);
      stored.row.idempotency_key = transition.idempotency_key;
      stored.row.key_number = transition.key_number;
      break;
    case RowState::kDelivered:
      coverage_.count(Event::kDelivered);
      periods_.at({stored.series, stored.period}).rejections = 0;
      break;
    case RowState::kRejected:
      reject(stored, transition.at);
      break;
    case RowState::kUncertain:
      coverage_.count(Event::kUncertain);
      break;
    case RowState::kHeld:
      break;
  }
}

void Books::reject(StoredRow& stored, Timestamp at) {
  coverage_.count(Event::kRejected);
  exporter::Progress& progress = periods_.at({stored.series, stored.period});
  if (usage_.series[stored.series].formula == Formula::kSum) {
    progress.planned = progress.planned.checked_subtract(stored.value).value();
  } else {
    progress.stated.reset();
  }
  ++progress.rejections;
  progress.last_rejected_at = at;
}

void Books::check_sums() {
  std::map<Key, core::Decimal> sums;
  for (const auto& [id, stored] : rows_) {
    if (stored.row.state == RowState::kRejected) continue;
    core::Decimal& sum = sums[{stored.series, stored.period}];
    sum = sum.checked_add(stored.value).value();
  }
  for (const auto& [key, progress] : periods_) {
    if (usage_.series[key.first].formula == Formula::kSum && progress.planned != sums[key])
      scheduler_.broken(fmt::format("{} period {}: planned is {}, its rows add up to {}",
                                    usage_.series[key.first].meter, key.second,
                                    progress.planned.to_string(), sums[key].to_string()));
  }
}

void Books::commit_settlement(const exporter::Settlement& settlement) {
  StoredRow& stored = rows_.at(settlement.id);
  if (stored.row.state != RowState::kUncertain) {
    coverage_.count(Event::kRefusedByState);
    throw std::runtime_error("an outbox row was no longer `uncertain`");
  }
  if (settlement.state == RowState::kUncertain) {
    stored.read_at = settlement.at;
    stored.read_value = settlement.read_value;
    return;
  }
  if (settlement.state == RowState::kDelivered) coverage_.count(Event::kReadBack);
  if (settlement.state == RowState::kRejected) coverage_.count(Event::kNeverArrived);
  exporter::Transition transition;
  transition.id = settlement.id;
  transition.state = settlement.state;
  transition.reason = settlement.reason;
  transition.at = settlement.at;
  apply(transition);
  check_sums();
}

std::vector<exporter::UncertainRow> Books::uncertain_rows() const {
  std::vector<exporter::UncertainRow> uncertain;
  for (const auto& [id, stored] : rows_) {
    if (stored.row.state != RowState::kUncertain) continue;
    uncertain.push_back({id, stored.row.stripe_customer, stored.row.event_name,
                         usage_.series[stored.series].formula, stored.value, stored.row.event_time,
                         stored.last_sent_at.value(), stored.read_at, stored.read_value});
  }
  return uncertain;
}

std::vector<exporter::OutboxRow> Books::open_rows() const {
  std::vector<exporter::OutboxRow> open;
  for (const auto& [id, stored] : rows_) {
    if (stored.row.state == RowState::kPlanned || stored.row.state == RowState::kSending)
      open.push_back(stored.row);
  }
  return open;
}

exporter::OutboxStanding Books::standing() const {
  exporter::OutboxStanding standing;
  for (const auto& [id, stored] : rows_) {
    standing.planned += stored.row.state == RowState::kPlanned ? 1U : 0U;
    standing.sending += stored.row.state == RowState::kSending ? 1U : 0U;
    standing.uncertain += stored.row.state == RowState::kUncertain ? 1U : 0U;
    standing.held += stored.row.state == RowState::kHeld ? 1U : 0U;
  }
  return standing;
}

const StoredRow* Books::by_identifier(const std::string& identifier) const {
  const auto found = identifiers_.find(identifier);
  return found == identifiers_.end() ? nullptr : &rows_.at(found->second);
}

std::optional<core::Decimal> Books::planned(std::size_t series, std::size_t period) const {
  const auto found = periods_.find({series, period});
  const bool gauge = usage_.series[series].formula == Formula::kLast;
  if (found == periods_.end()) return gauge ? std::nullopt : std::optional(core::Decimal());
  return gauge ? found->second.stated : found->second.planned;
}

}  // namespace tally::simulation::exporting
