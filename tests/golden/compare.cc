#include "tests/golden/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace tally::golden {

using simulation::Tables;

namespace {

// As a case writes it: "08:00", "-1+18:15", "08:00:01.5".
std::string time_name(std::int64_t micros, std::int64_t day_seconds) {
  constexpr std::int64_t kDayMicros = 86'400'000'000;
  const std::int64_t since = micros - day_seconds * 1'000'000;
  const std::int64_t day =
      since >= 0 ? since / kDayMicros : -((-since + kDayMicros - 1) / kDayMicros);
  const std::int64_t in_day = since - day * kDayMicros;
  std::string name = day == 0 ? "" : fmt::format("{}+", day);
  name += fmt::format("{:02}:{:02}", in_day / 3'600'000'000, in_day / 60'000'000 % 60);
  if (const std::int64_t rest = in_day % 60'000'000; rest != 0)
    name += fmt::format(":{:02}.{:06}", rest / 1'000'000, rest % 1'000'000);
  return name;
}

std::string total_name(const TotalKey& key, std::int64_t day_seconds) {
  const auto& [tenant, meter, span, start, dimensions] = key;
  return fmt::format("{} {} {}{} {}", tenant, meter, span == kWindow ? "" : span + " ",
                     time_name(start * 1'000'000, day_seconds), dimensions);
}

std::string text_of(const Standing& standing, std::int64_t day_seconds) {
  std::string text = fmt::format("{} {}", standing.kind, standing.value);
  if (standing.read_at_us) text += '@' + time_name(*standing.read_at_us, day_seconds);
  text += fmt::format(" of {}", standing.events);
  if (standing.end_seconds)
    text += fmt::format(" to {}", time_name(*standing.end_seconds * 1'000'000, day_seconds));
  return text;
}

// What one of the two does not say is not compared.
bool alike(const Standing& said, const Standing& stands) {
  const auto same = [](const auto& a, const auto& b) { return !a || !b || *a == *b; };
  return said.kind == stands.kind && said.value == stands.value && said.events == stands.events &&
         same(said.end_seconds, stands.end_seconds) && same(said.read_at_us, stands.read_at_us);
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

void compare_totals(const Books& expected, const Books& got, std::int64_t day_seconds,
                    std::vector<Difference>& found) {
  for (const auto& [key, acceptable] : expected.totals) {
    const auto entry = got.totals.find(key);
    std::vector<std::string> said;
    bool met = false;
    for (const Standing& one : acceptable) {
      said.push_back(text_of(one, day_seconds));
      met = met || (entry != got.totals.end() && alike(one, entry->second.front()));
    }
    if (met) continue;
    const std::string stands =
        entry == got.totals.end() ? "-" : text_of(entry->second.front(), day_seconds);
    found.push_back(
        {total_name(key, day_seconds), fmt::format("{}", fmt::join(said, " or ")), stands});
  }
  for (const auto& [key, value] : got.totals) {
    if (!expected.totals.contains(key))
      found.push_back({total_name(key, day_seconds), "-", text_of(value.front(), day_seconds)});
  }
}

Standing standing_of(const core::UsageDelta& delta) {
  return {"=", delta.quantity.to_string(), delta.events, {}, {}};
}
template <class Reading>
Standing standing_of(const Reading& reading) {
  return {"shows", reading.reading.to_string(), reading.events, {}, reading.read_at.micros()};
}
Standing standing_of(const simulation::UniqueStored& set) {
  return {"unique", std::to_string(set.members.size()), set.events, {}, {}};
}

using Totals = std::map<TotalKey, Acceptable>;

Totals windows_in(const Tables& tables) {
  Totals totals;
  const auto add = [&](const auto& rows) {
    for (const auto& [key, value] : rows) {
      const auto& [tenant, meter, start, dimensions] = key;
      Standing standing = standing_of(value);
      standing.end_seconds = tables.window_ends.at(key);
      totals[{tenant, meter, kWindow, start, dimensions}].push_back(std::move(standing));
    }
  };
  add(tables.usage);
  add(tables.gauges);
  add(tables.maxima);
  add(tables.minima);
  add(tables.uniques);
  return totals;
}

Totals spans_in(const Tables& tables) {
  Totals totals;
  const auto add = [&](const auto& rows) {
    for (const auto& [key, value] : rows) {
      const auto& [tenant, meter, span, start, dimensions] = key;
      Standing standing = standing_of(value);
      standing.end_seconds = tables.span_edges.at(key).end_seconds;
      const std::string name(aggregator::to_string(span));
      totals[{tenant, meter, name, start, dimensions}].push_back(std::move(standing));
    }
  };
  add(tables.usage_totals);
  add(tables.gauge_totals);
  add(tables.max_totals);
  add(tables.min_totals);
  add(tables.unique_totals);
  return totals;
}

}  // namespace

Books books_in(const Tables& tables, const GoldenCase& golden) {
  Books books;
  books.totals = windows_in(tables);
  books.totals.merge(spans_in(tables));
  std::erase_if(books.totals,
                [&](const auto& total) { return !golden.tells(std::get<2>(total.first)); });
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
  compare_totals(expected, got, day_seconds, found);
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
