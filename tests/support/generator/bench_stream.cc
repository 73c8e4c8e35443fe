#include "tests/support/generator/bench_stream.h"

#include "tests/support/generator/event_text.h"
#include "tests/support/generator/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

namespace tally::generator {
namespace {

using nlohmann::ordered_json;

constexpr std::uint64_t kCopyShare = 50;  // one record in fifty is a copy
constexpr std::int64_t kFarthestCopy = 50'000;
constexpr std::array<std::string_view, 3> kTypes = {"api.request", "llm.completion",
                                                    "job.finished"};
constexpr std::int64_t kHourSeconds = 3'600;
constexpr std::int64_t kHourMicros = kHourSeconds * kMicrosPerSecond;
constexpr std::array<std::string_view, 3> kMeters = {"api_calls", "ai_tokens", "job_minutes"};
constexpr std::string_view kPadding = "eu-central-1a-gateway";

}  // namespace

void BenchSums::add(const BenchSums& other) {
  counted += other.counted;
  duplicates += other.duplicates;
  api_calls += other.api_calls;
  ai_tokens += other.ai_tokens;
  job_minutes += other.job_minutes;
  bytes += other.bytes;
  if (windows.size() < other.windows.size()) windows.resize(other.windows.size());
  for (std::size_t i = 0; i < other.windows.size(); ++i) {
    windows[i].thousandths += other.windows[i].thousandths;
    windows[i].events += other.windows[i].events;
  }
}

BenchStream::BenchStream(const BenchOptions& options) : options_(options) {}

bool BenchStream::is_copy(std::int64_t number) const {
  return number > 0 &&
         scatter(options_.seed ^ (static_cast<std::uint64_t>(number) << 1U)) % kCopyShare == 0;
}

// Some record before it, itself no copy; record 0 never is one.
std::int64_t BenchStream::original_of(std::int64_t number) const {
  const auto reach = static_cast<std::uint64_t>(std::min(number, kFarthestCopy));
  const std::uint64_t back =
      1 + scatter(options_.seed + static_cast<std::uint64_t>(number) * 3) % reach;
  std::int64_t original = number - static_cast<std::int64_t>(back);
  while (is_copy(original)) --original;
  return original;
}

std::int64_t BenchStream::append_data(std::uint64_t kind, std::uint64_t dice,
                                      std::string& out) const {
  auto to = std::back_inserter(out);
  std::int64_t thousandths = 1'000;
  switch (kind) {
    case 0:
      fmt::format_to(to, R"({{"status":"ok","latency_ms":{})", 1 + dice % 900);
      break;
    case 1: {
      const std::uint64_t tokens = 1 + dice % 4'000;
      thousandths = static_cast<std::int64_t>(tokens) * 1'000;
      fmt::format_to(to, R"({{"status":"ok","tokens":{})", tokens);
      break;
    }
    default:
      thousandths = static_cast<std::int64_t>(1 + dice % 90'000);
      out += R"({"status":"ok","minutes":)";
      append_thousandths(static_cast<Wide>(thousandths), out);
  }
  for (int i = 0; i < options_.dimensions; ++i) {
    fmt::format_to(to, R"(,"dim_{}":"value_{}")", i + 1,
                   scatter(dice + static_cast<std::uint64_t>(i)) %
                       static_cast<std::uint64_t>(options_.dimension_values));
  }
  fmt::format_to(to, R"(,"api_key":"key_{:08x}","region":"{}"}}}})", dice >> 32U, kPadding);
  return thousandths;
}

void BenchStream::count(std::uint64_t kind, std::uint64_t tenant, std::int64_t micros,
                        std::int64_t thousandths, BenchSums& sums) const {
  (kind == 0   ? sums.api_calls
   : kind == 1 ? sums.ai_tokens
               : sums.job_minutes) += static_cast<Wide>(thousandths);
  // One more than it spans, for a start within an hour.
  const auto hours = static_cast<std::size_t>(options_.hours) + 1;
  if (sums.windows.empty()) {
    sums.windows.resize(static_cast<std::size_t>(options_.tenants) * kMeters.size() * hours);
  }
  const auto hour =
      static_cast<std::size_t>(micros / kHourMicros - options_.start_micros / kHourMicros);
  BenchWindow& window = sums.windows.at((tenant * kMeters.size() + kind) * hours + hour);
  window.thousandths += thousandths;
  ++window.events;
}

void BenchStream::make(std::int64_t number, BenchRecord& record, BenchSums& sums) const {
  const bool copy = is_copy(number);
  const std::int64_t origin = copy ? original_of(number) : number;
  const auto key = static_cast<std::uint64_t>(origin);
  const std::uint64_t high = scatter(options_.seed * 0x2545f4914f6cdd1dULL + key);
  const std::uint64_t low = scatter(high ^ key);
  const std::uint64_t dice = scatter(low);
  const std::uint64_t kind = (high >> 7U) % kTypes.size();
  const std::uint64_t tenant = (low >> 9U) % static_cast<std::uint64_t>(options_.tenants);
  const std::int64_t micros =
      options_.start_micros +
      static_cast<std::int64_t>(static_cast<Wide>(origin) * options_.hours * kHourSeconds *
                                kMicrosPerSecond / options_.records);

  record.id.clear();
  append_id(high, low, record.id);
  std::string& out = record.text;
  out.clear();
  out += R"({"specversion":"1.0","id":")";
  out += record.id;
  out += R"(","source":"/services/gateway","type":")";
  out += kTypes[kind];
  fmt::format_to(std::back_inserter(out), R"(","subject":"tenant_{:04}","time":")", 1 + tenant);
  append_utc(micros, out);
  out += R"(","datacontenttype":"application/json","data":)";
  const std::int64_t thousandths = append_data(kind, dice, out);
  if (!copy) count(kind, tenant, micros, thousandths, sums);
  sums.bytes += static_cast<std::int64_t>(out.size());
  ++(copy ? sums.duplicates : sums.counted);
}

ordered_json BenchStream::catalogue() const {
  auto group_by = ordered_json::object();
  for (int i = 1; i <= options_.dimensions; ++i) {
    group_by[fmt::format("dim_{}", i)] = fmt::format("/dim_{}", i);
  }
  auto meters = ordered_json::array();
  const auto add = [&](std::string_view slug, std::string_view type, std::string_view aggregation,
                       std::string_view value) {
    ordered_json meter = {{"slug", slug}, {"event_type", type}, {"aggregation", aggregation}};
    if (!value.empty()) meter["value"] = value;
    if (!group_by.empty()) meter["group_by"] = group_by;
    meter["window"] = "hour";
    meters.push_back(std::move(meter));
  };
  add(kMeters[0], kTypes[0], "count", "");
  add(kMeters[1], kTypes[1], "sum", "/tokens");
  add(kMeters[2], kTypes[2], "sum", "/minutes");
  auto tenants = ordered_json::array();
  for (int number = 1; number <= options_.tenants; ++number) {
    tenants.push_back({{"id", fmt::format("tenant_{:04}", number)}});
  }
  return {{"meters", std::move(meters)},
          {"plans", ordered_json::array()},
          {"tenants", std::move(tenants)}};
}

ordered_json BenchStream::expected(const BenchSums& sums) const {
  ordered_json out;
  out["records"] = sums.counted + sums.duplicates;
  out["bytes"] = sums.bytes;
  out["classes"] = {{"counted", sums.counted},
                    {"duplicate", sums.duplicates},
                    {"conflict", 0},
                    {"late", 0},
                    {"rejected", 0},
                    {"unmetered", 0},
                    {"filtered", 0}};
  out["meters"]["api_calls"]["total"] = thousandths_text(sums.api_calls);
  out["meters"]["ai_tokens"]["total"] = thousandths_text(sums.ai_tokens);
  out["meters"]["job_minutes"]["total"] = thousandths_text(sums.job_minutes);
  return out;
}

std::string BenchStream::expected_windows(const BenchSums& sums) const {
  const auto hours = static_cast<std::size_t>(options_.hours) + 1;
  const std::int64_t first = options_.start_micros / kHourMicros * kHourSeconds;
  std::string out = "tenant,meter,start,quantity,events\n";
  for (std::size_t i = 0; i < sums.windows.size(); ++i) {
    const BenchWindow& window = sums.windows[i];
    if (window.events == 0) continue;
    fmt::format_to(std::back_inserter(out), "tenant_{:04},{},{},{},{}\n",
                   1 + i / hours / kMeters.size(), kMeters.at(i / hours % kMeters.size()),
                   first + static_cast<std::int64_t>(i % hours) * kHourSeconds,
                   thousandths_text(window.thousandths), window.events);
  }
  return out;
}

}  // namespace tally::generator
