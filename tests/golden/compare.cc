#include "tests/golden/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace tally::golden {

using simulation::Tables;

namespace {

std::string window_name(const simulation::TotalKey& key, std::int64_t day_seconds) {
  const auto& [tenant, meter, start, dimensions] = key;
  const std::int64_t since = start - day_seconds;
  const std::int64_t day = since >= 0 ? since / 86'400 : -((-since + 86'399) / 86'400);
  const std::int64_t second = since - day * 86'400;
  const std::string date = day == 0 ? "" : fmt::format("{}+", day);
  return fmt::format("{} {} {}{:02}:{:02} {}", tenant, meter, date, second / 3600, second / 60 % 60,
                     dimensions);
}

struct Difference {
  std::string what;
  std::string expected;
  std::string got;
};

void compare_counts(const char* kind, const std::map<std::string, std::int64_t>& expected,
                    const std::map<std::string, std::int64_t>& got,
                    std::vector<Difference>& found) {
  std::set<std::string> names;
  for (const auto& [name, count] : expected) names.insert(name);
  for (const auto& [name, count] : got) names.insert(name);
  const auto count_of = [](const auto& counts, const std::string& name) {
    const auto entry = counts.find(name);
    return entry == counts.end() ? 0 : entry->second;
  };
  for (const std::string& name : names) {
    const std::int64_t said = count_of(expected, name);
    const std::int64_t stands = count_of(got, name);
    if (said != stands)
      found.push_back(
          {fmt::format("{}{}", kind, name), std::to_string(said), std::to_string(stands)});
  }
}

void compare_windows(const Books& expected, const Books& got, std::int64_t day_seconds,
                     std::vector<Difference>& found) {
  for (const auto& [key, acceptable] : expected.windows) {
    const auto entry = got.windows.find(key);
    const std::string stands = entry == got.windows.end() ? "-" : entry->second.front();
    if (std::find(acceptable.begin(), acceptable.end(), stands) == acceptable.end())
      found.push_back({window_name(key, day_seconds),
                       fmt::format("{}", fmt::join(acceptable, " or ")), stands});
  }
  for (const auto& [key, value] : got.windows) {
    if (!expected.windows.contains(key))
      found.push_back({window_name(key, day_seconds), "-", value.front()});
  }
}

}  // namespace

Books books_in(const Tables& tables) {
  Books books;
  for (const auto& [key, delta] : tables.usage)
    books.windows[key] = {fmt::format("= {} of {}", delta.quantity.to_string(), delta.events)};
  for (const auto& [key, gauge] : tables.gauges) {
    books.windows[key] = {fmt::format("shows {} of {}", gauge.reading.to_string(), gauge.events)};
  }
  aggregator::LedgerDelta all;
  for (const auto& [where, line] : tables.ledger) simulation::add(all, line);
  books.classes = {{"counted", all.counted},       {"duplicate", all.duplicate},
                   {"conflict", all.conflict},     {"late", all.late},
                   {"rejected", all.rejected},     {"unmetered", all.unmetered},
                   {"filtered", all.filtered},     {"skipped", all.skipped},
                   {"readmitted", all.readmitted}, {"lost", all.lost}};
  for (const auto& [where, row] : tables.rejects) {
    const std::string& meter = std::get<2>(where);
    ++books.rejects[meter.empty() ? row.reason : fmt::format("{}: {}", meter, row.reason)];
  }
  // The counters of each meter's rejects tell the same as their rows.
  std::map<std::string, std::int64_t> counters;
  for (const auto& [where, count] : tables.meter_rejects) counters[where.first] += count;
  for (const auto& [reason, rows] : books.rejects) {
    if (const auto colon = reason.find(':'); colon != std::string::npos)
      counters[reason.substr(0, colon)] -= rows;
  }
  for (const auto& [meter, left] : counters) {
    if (left != 0) books.rejects[fmt::format("{}: counted without a row", meter)] = left;
  }
  return books;
}

std::string differences(const Books& expected, const Books& got, std::int64_t day_seconds) {
  std::vector<Difference> found;
  compare_windows(expected, got, day_seconds, found);
  compare_counts("", expected.classes, got.classes, found);
  compare_counts("reject ", expected.rejects, got.rejects, found);
  if (found.empty()) return {};
  std::size_t widest = 4;
  std::size_t expected_widest = 8;
  for (const Difference& one : found) {
    widest = std::max(widest, one.what.size());
    expected_widest = std::max(expected_widest, one.expected.size());
  }
  std::string table =
      fmt::format("  {:<{}}  {:<{}}  {}\n", "what", widest, "expected", expected_widest, "got");
  for (const Difference& one : found)
    table += fmt::format("  {:<{}}  {:<{}}  {}\n", one.what, widest, one.expected, expected_widest,
                         one.got);
  return table;
}

}  // namespace tally::golden
