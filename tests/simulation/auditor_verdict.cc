// The end of a run: what must the totals be?
#include "tests/simulation/auditor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace tally::simulation {

namespace {

std::string difference(const Totals& expected, const Totals& actual) {
  for (const auto& [key, value] : expected) {
    const auto found = actual.find(key);
    if (found == actual.end()) return fmt::format("{}: must be {}, is not there", key, value);
    if (found->second != value)
      return fmt::format("{}: must be {}, is {}", key, value, found->second);
  }
  for (const auto& [key, value] : actual) {
    if (!expected.contains(key)) return fmt::format("{}: is {}, must not be there", key, value);
  }
  return {};
}

}  // namespace

Flaw Auditor::flaw_of(const Settled& record) const {
  const Message& message = message_at(record.place);
  if (message.flaw == Flaw::kUnreadable) return message.flaw;
  const std::int64_t log_time = log_time_us(record.place);
  if (message.time_us.value_or(log_time) - log_time > rules_.future_bound_us)
    return Flaw::kUnreadable;
  if (message.needs_second_catalogue && record.catalogue == 0) return Flaw::kUnmetered;
  return message.flaw;
}

bool Auditor::is_old(const Place& place) const {
  const std::int64_t log_time = log_time_us(place);
  return log_time - message_at(place).time_us.value_or(log_time) > rules_.horizon_us;
}

// Where its home may or may not have known, what it said stands.
bool Auditor::is_late(const Settled& record, const Tables& tables) const {
  if (is_old(record.place)) return true;
  if (!record.unknown) return false;
  const auto kept = tables.rejects.find({record.place.first, record.place.second, ""});
  return kept != tables.rejects.end() && kept->second.reason == "older_than_memory";
}

bool Auditor::surely_before(const Settled& a, const Settled& b) const {
  if (a.commit != b.commit) return a.commit < b.commit;
  // Within one commit only the log is in order. What was handed off may come in any: its rows, and
  // what lies in one of them, where some was read from the log and some was handed on.
  return a.row == 0 && b.row == 0 && a.place.first == b.place.first &&
         a.place.second < b.place.second;
}

// Promise P1, of one set of copies: no two within the horizon, and each that was left out had one
// to stand for it.
bool Auditor::may_be_counted(const std::vector<Settled>& copies, std::size_t chosen,
                             const Tables& tables) const {
  const auto in = [&](std::size_t i) { return (chosen >> i & 1U) != 0; };
  const auto apart = [&](std::size_t a, std::size_t b) {
    return std::abs(log_time_us(copies[a].place) - log_time_us(copies[b].place));
  };
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (is_late(copies[i], tables)) {
      if (in(i)) return false;
      continue;
    }
    bool covered = false;
    for (std::size_t k = 0; k < copies.size(); ++k) {
      if (k == i || !in(k)) continue;
      if (in(i) && apart(i, k) <= rules_.horizon_us + rules_.future_bound_us) return false;
      if (apart(i, k) <= rules_.longest_memory_us && !surely_before(copies[i], copies[k]))
        covered = true;
    }
    if (!in(i) && !covered) return false;
  }
  return true;
}

Totals Auditor::worth(const std::vector<Settled>& records, const Tables& tables) const {
  Worth worth(*tenants_, tables);
  for (const Settled& record : records) {
    const Message& message = message_at(record.place);
    worth.add({&message, message.time_us.value_or(log_time_us(record.place)), record.commit,
               record.catalogue});
  }
  return worth.text();
}

// Which of the copies were counted. Copies that are all alike: any set that may be, as long as
// there is but one size of it. An identity that is alone: the set whose worth is what its tenant
// has.
std::string Auditor::judge_identity(const std::vector<Settled>& copies, const Tables& tables,
                                    const Totals& actual, std::vector<Settled>& counted,
                                    Coverage& coverage) const {
  const Message& message = message_at(copies.front().place);
  if (!message.alone) {
    const auto first = std::find_if(copies.begin(), copies.end(),
                                    [&](const Settled& copy) { return !is_late(copy, tables); });
    if (first != copies.end()) counted.push_back(*first);
    return {};
  }
  Totals own;
  for (auto total = actual.lower_bound(message.tenant + " ");
       total != actual.end() && tenant_of(total->first) == message.tenant; ++total) {
    own.insert(*total);
  }
  std::string permitted;
  for (std::size_t chosen = 0; chosen < std::size_t{1} << copies.size(); ++chosen) {
    if (!may_be_counted(copies, chosen, tables)) continue;
    std::vector<Settled> some;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if ((chosen >> i & 1U) != 0) some.push_back(copies[i]);
    }
    const std::string wrong = difference(worth(some, tables), own);
    if (wrong.empty()) {
      if (some.size() > 1) coverage.count(Event::kRecountAfterHorizon);
      counted.insert(counted.end(), some.begin(), some.end());
      return {};
    }
    if (permitted.empty()) permitted = wrong;
  }
  std::string text = fmt::format(
      "identity {} of tenant {}: no permitted choice of its {} copies has these totals "
      "(for one, {})",
      message.id, message.tenant, copies.size(), permitted);
  for (const Settled& copy : copies) text += "; " + describe(copy, tables);
  return text;
}

std::string Auditor::describe(const Settled& copy, const Tables& tables) const {
  const std::int64_t log_time = log_time_us(copy.place);
  return fmt::format("partition {} offset {}, logged {}, its time {} s before, commit {}{}{}{}",
                     copy.place.first, copy.place.second,
                     core::to_rfc3339(core::Timestamp::from_micros(log_time)),
                     (log_time - message_at(copy.place).time_us.value_or(log_time)) / 1'000'000,
                     copy.commit, copy.row == 0 ? "" : ", handed off",
                     copy.unknown ? ", unknown" : "", is_late(copy, tables) ? ", late" : "");
}

std::string Auditor::at_rest(const Tables& tables, Coverage& coverage) const {
  std::map<std::size_t, std::vector<Settled>> by_identity;
  for (const Settled& record : settled_) {
    if (flaw_of(record) == Flaw::kNone)
      by_identity[message_at(record.place).identity].push_back(record);
  }
  const Totals actual = totals_in(tables);
  std::vector<Settled> counted;
  for (const auto& [identity, copies] : by_identity) {
    std::string broken = judge_identity(copies, tables, actual, counted, coverage);
    if (!broken.empty()) return broken;
  }
  std::string wrong = difference(worth(counted, tables), actual);
  if (!wrong.empty()) return "totals: " + wrong;
  wrong = compare_ledger(tables, static_cast<std::int64_t>(counted.size()));
  if (!wrong.empty()) return "ledger: " + wrong;
  std::size_t claims = 0;
  for (const auto& [id, row] : tables.segments) claims += row.removed == 0 ? row.entries.size() : 0;
  if (claims > counted.size())
    return fmt::format("{} identities are claimed, {} records counted", claims, counted.size());
  return compare_rejects(tables);
}

std::string Auditor::compare_ledger(const Tables& tables, std::int64_t counted) const {
  std::map<std::int32_t, aggregator::LedgerDelta> lines;
  aggregator::LedgerDelta all;
  for (const auto& [where, line] : tables.ledger) {
    add(lines[where.first], line);
    add(all, line);
    if (line.consumed + line.received != line.classes())
      return fmt::format("partition {} day {} does not balance", where.first, where.second);
  }
  for (const auto& [partition, row] : tables.states) {
    const aggregator::LedgerDelta& line = lines[partition];
    const auto found = sums_.find(partition);
    const Sums sums = found == sums_.end() ? Sums{} : found->second;
    if (row.next - row.base != line.consumed + line.skipped + line.lost)
      return fmt::format("partition {} moved by {} offsets, {} are accounted for", partition,
                         row.next - row.base, line.consumed + line.skipped + line.lost);
    const std::pair<std::string_view, std::pair<std::int64_t, std::int64_t>> pairs[] = {
        {"consumed", {line.consumed, sums.consumed}},
        {"received", {line.received, sums.received}},
        {"handed off", {line.handed_off, sums.handed_off}},
        {"rejected", {line.rejected, sums.rejected}},
        {"unmetered", {line.unmetered, sums.unmetered}},
        {"filtered", {line.filtered, sums.filtered}},
        {"skipped", {line.skipped, sums.skipped}},
        {"lost", {line.lost, sums.lost}},
        {"duplicate, conflict, late or counted",
         {line.duplicate + line.conflict + line.late + line.counted, sums.deduplicated}}};
    for (const auto& [name, values] : pairs) {
      if (values.first != values.second)
        return fmt::format("partition {}: {} {}, must be {}", partition, values.first, name,
                           values.second);
    }
  }
  if (all.counted != counted)
    return fmt::format("{} records are counted, must be {}", all.counted, counted);
  if (all.handed_off != all.received)
    return fmt::format("{} handed off, {} received, none waits", all.handed_off, all.received);
  return {};
}

std::string Auditor::compare_rejects(const Tables& tables) const {
  std::set<Place> rejected;
  std::set<Place> unknown;
  for (const Settled& record : settled_) {
    if (record.unknown) unknown.insert(record.place);
    const Flaw flaw = flaw_of(record);
    if (flaw == Flaw::kUnreadable || flaw == Flaw::kValueMissing) rejected.insert(record.place);
  }
  std::int64_t late = 0;
  std::int64_t conflicts = 0;
  for (const auto& [key, row] : tables.rejects) {
    const Place place{std::get<0>(key), std::get<1>(key)};
    late += row.reject_class == aggregator::RejectClass::kLate ? 1 : 0;
    conflicts += row.reject_class == aggregator::RejectClass::kConflict ? 1 : 0;
    const bool permitted =
        is_old(place) || (row.reason == "older_than_memory" && unknown.contains(place));
    if (row.reject_class == aggregator::RejectClass::kLate && !permitted)
      return fmt::format("partition {} offset {} is kept as late and is not", place.first,
                         place.second);
    if (row.reject_class == aggregator::RejectClass::kRejected && rejected.erase(place) == 0)
      return fmt::format("partition {} offset {} is kept as rejected ({}) and was good",
                         place.first, place.second, row.reason);
  }
  if (!rejected.empty())
    return fmt::format("partition {} offset {} was rejected and is not kept",
                       rejected.begin()->first, rejected.begin()->second);
  aggregator::LedgerDelta all;
  for (const auto& [where, line] : tables.ledger) add(all, line);
  if (all.late != late || all.conflict != conflicts)
    return fmt::format("{} late and {} in conflict, but {} and {} are kept", all.late, all.conflict,
                       late, conflicts);
  return {};
}

}  // namespace tally::simulation
