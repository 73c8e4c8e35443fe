#include "tests/simulation/workload.h"

#include "core/timestamp.h"
#include "tests/simulation/tenants.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace tally::simulation {

namespace {

core::Meter meter(std::string slug, std::string type, core::Aggregation aggregation,
                  core::WindowSize window) {
  core::Meter made;
  made.slug = std::move(slug);
  made.event_type = std::move(type);
  made.aggregation = aggregation;
  made.window = window;
  return made;
}

core::Filter only_ok() {
  return {{"status"}, core::FilterKind::kIn, {core::Scalar(std::string("ok"))}};
}

std::vector<core::Meter> first_meters() {
  core::Meter calls =
      meter("calls", "api.request", core::Aggregation::kCount, core::WindowSize::kHour);
  calls.group_by = {{"key", {"api_key"}}};
  calls.where = {only_ok()};
  core::Meter tokens =
      meter("tokens", "llm.completion", core::Aggregation::kSum, core::WindowSize::kHour);
  tokens.value = {"usage", "tokens"};
  tokens.group_by = {{"model", {"model"}}};
  tokens.where = {only_ok()};
  core::Meter cost =
      meter("cost", "llm.completion", core::Aggregation::kSum, core::WindowSize::kDay);
  cost.value = {"cost"};
  cost.where = {only_ok()};
  core::Meter members =
      meter("members", "team.changed", core::Aggregation::kLatest, core::WindowSize::kMinute);
  members.value = {"members"};
  core::Meter longest =
      meter("longest", "session.ended", core::Aggregation::kMax, core::WindowSize::kHour);
  longest.value = {"seconds"};
  longest.group_by = {{"region", {"region"}}};
  longest.allow_negative = true;
  core::Meter shortest =
      meter("shortest", "session.ended", core::Aggregation::kMin, core::WindowSize::kDay);
  shortest.value = {"seconds"};
  shortest.allow_negative = true;
  core::Meter users =
      meter("users", "session.ended", core::Aggregation::kUniqueCount, core::WindowSize::kHour);
  users.value = {"user"};
  users.group_by = {{"region", {"region"}}};
  return {calls, tokens, cost, members, longest, shortest, users};
}

core::Decimal hundredths(std::int64_t value) {
  return core::Decimal::from_units(static_cast<core::Int128>(value) * 10'000'000'000);
}

constexpr std::size_t kMostCopies = 8;

constexpr std::string_view kTypes[] = {"api.request",  "llm.completion", "llm.completion",
                                       "team.changed", "new.kind",       "session.ended",
                                       "session.ended"};

// Few different users, in all the ways in which JSON may tell them: its text, and what it is.
std::pair<std::string, std::string> user_of(std::int64_t value) {
  const std::int64_t number = value % 4;
  switch (value % 7) {
    case 0:
      return {fmt::format("{}", number), fmt::format("number {}", number)};
    case 1:
      return {fmt::format("{}.0", number), fmt::format("number {}", number)};
    case 2:
      return {"true", "boolean true"};
    case 3:
      return {R"("true")", "text true"};
    default:
      return {fmt::format(R"("{}")", number), fmt::format("text {}", number)};
  }
}

// Many readings are equal.
std::string fill_session(Message& message, std::int64_t value) {
  using core::Aggregation;
  using core::WindowSize;
  const std::int64_t seconds = value % 31 - 20;
  const std::string region = fmt::format(R"({{"region":"r{}"}})", value % 2);
  const core::Decimal reading = core::Decimal::from_int(seconds);
  message.readings = {{"longest", Aggregation::kMax, WindowSize::kHour, region, reading, {}},
                      {"shortest", Aggregation::kMin, WindowSize::kDay, "{}", reading, {}}};
  const auto [text, user] = user_of(value);
  if (value % 11 == 0) {
    message.failed_meters.emplace_back("users");
  } else {
    message.readings.push_back(
        {"users", Aggregation::kUniqueCount, WindowSize::kHour, region, {}, user});
  }
  return fmt::format(R"({{"seconds":{},"region":"r{}","user":{}}})", seconds, value % 2,
                     value % 11 == 0 ? "[]" : text);
}

}  // namespace

std::vector<std::shared_ptr<const aggregator::MeterSet>> make_catalogues() {
  std::vector<core::Meter> more = first_meters();
  more.push_back(meter("new_kind", "new.kind", core::Aggregation::kCount, core::WindowSize::kHour));
  using core::CatalogueVersion;
  return {std::make_shared<aggregator::MeterSet>(first_meters(), CatalogueVersion(1),
                                                 CatalogueVersion(1)),
          std::make_shared<aggregator::MeterSet>(more, CatalogueVersion(2), CatalogueVersion(2)),
          std::make_shared<aggregator::MeterSet>(more, CatalogueVersion(3), CatalogueVersion(2))};
}

// The data of a message of this type and value, and what it is worth.
std::string Workload::fill(Message& message, std::int64_t value) {
  using core::Aggregation;
  using core::WindowSize;
  message.readings.clear();
  message.failed_meters.clear();
  const char* status = message.flaw == Flaw::kFiltered ? "failed" : "ok";
  if (message.type == "api.request") {
    const std::string key = fmt::format("k{}", value % 3);
    message.readings.push_back({"calls",
                                Aggregation::kCount,
                                WindowSize::kHour,
                                fmt::format(R"({{"key":"{}"}})", key),
                                core::Decimal::from_int(1),
                                {}});
    return fmt::format(R"({{"status":"{}","api_key":"{}"}})", status, key);
  }
  if (message.type == "llm.completion") {
    if (message.flaw == Flaw::kValueMissing)
      return fmt::format(R"({{"status":"{}","model":"m"}})", status);
    message.readings.push_back({"tokens",
                                Aggregation::kSum,
                                WindowSize::kHour,
                                R"({"model":"m"})",
                                core::Decimal::from_int(value),
                                {}});
    if (value % 5 == 0) {
      message.failed_meters.emplace_back("cost");
      return fmt::format(R"({{"status":"{}","model":"m","usage":{{"tokens":{}}},"cost":"much"}})",
                         status, value);
    }
    message.readings.push_back(
        {"cost", Aggregation::kSum, WindowSize::kDay, "{}", hundredths(value), {}});
    return fmt::format(R"({{"usage":{{"tokens":{}}},"model":"m","status":"{}","cost":{}.{:02}}})",
                       value, status, value / 100, value % 100);
  }
  if (message.type == "team.changed") {
    message.readings.push_back({"members",
                                Aggregation::kLatest,
                                WindowSize::kMinute,
                                "{}",
                                core::Decimal::from_int(value),
                                {}});
    return fmt::format(R"({{"members":{}}})", value);
  }
  if (message.type == "session.ended") return fill_session(message, value);
  message.readings.push_back(
      {"new_kind", Aggregation::kCount, WindowSize::kHour, "{}", core::Decimal::from_int(1), {}});
  return "{}";
}

std::size_t Workload::add(Message message, std::string data) {
  messages_.push_back(std::move(message));
  data_.push_back(std::move(data));
  return messages_.size() - 1;
}

std::string Workload::tenant_of(const Message& message) {
  if (!message.alone) {
    const std::size_t number = dice_.below(6);
    return number == 5 ? kNomad : fmt::format("t{}", number);
  }
  if (settlers_ < kSettlers && dice_.one_in(2)) return settler(settlers_++);
  return fmt::format("alone{}", message.identity);
}

std::size_t Workload::fresh(std::int64_t log_time_ms) {
  Message message;
  message.identity = sent_.size();
  sent_.push_back(0);
  message.alone = dice_.one_in(4);
  message.id = fmt::format("r{}", message.identity);
  message.tenant = tenant_of(message);
  message.source = dice_.one_in(2) ? "/api" : "/worker";
  message.type = kTypes[dice_.below(std::size(kTypes))];
  message.needs_second_catalogue = message.type == "new.kind";
  // Every time differs from every other, so that no two gauge readings are of one moment.
  const std::int64_t mark = static_cast<std::int64_t>(messages_.size() % 1000);
  std::int64_t behind_us = dice_.between(0, rules_.horizon_us / 3);
  if (dice_.one_in(30)) behind_us = rules_.horizon_us + dice_.between(1, 4'000'000'000);
  if (dice_.one_in(40)) behind_us = -dice_.between(0, 3 * rules_.future_bound_us);
  message.time_us = log_time_ms * 1000 - behind_us / 1000 * 1000 + mark;
  if (message.alone && message.type != "team.changed" && dice_.one_in(5)) message.time_us.reset();
  const std::size_t fate = dice_.below(40);
  if (fate == 0) message.flaw = Flaw::kUnreadable;
  if (fate == 1) message.flaw = Flaw::kUnmetered;
  if (fate == 2 && message.type == "llm.completion") message.flaw = Flaw::kValueMissing;
  if (fate <= 6 && fate >= 3 && message.alone &&
      (message.type == "api.request" || message.type == "llm.completion"))
    message.flaw = Flaw::kFiltered;
  if (message.flaw == Flaw::kUnmetered) {
    message.type = "no.such.kind";
    message.needs_second_catalogue = false;
  }
  std::string data = fill(message, dice_.between(1, 900));
  return add(std::move(message), std::move(data));
}

// A copy that differs: in its time, its values, or in being good at last. Only of an identity alone
// with its tenant, so that the totals tell which copy was counted.
std::size_t Workload::changed_copy(std::size_t original, std::int64_t log_time_ms) {
  Message message = messages_[original];
  std::string data = data_[original];
  if (message.flaw == Flaw::kFiltered || message.flaw == Flaw::kValueMissing) {
    message.flaw = Flaw::kNone;
    data = fill(message, dice_.between(1, 900));
  } else if (dice_.one_in(2)) {
    data = fill(message, dice_.between(1, 900));
  } else if (message.time_us) {
    message.time_us = log_time_ms * 1000 - dice_.between(0, 3'600'000) * 1000 +
                      static_cast<std::int64_t>(messages_.size() % 1000);
  }
  return add(std::move(message), std::move(data));
}

std::size_t Workload::copy_of_some(std::int64_t log_time_ms) {
  const std::size_t recent = std::min<std::size_t>(messages_.size(), 30);
  const std::size_t original =
      dice_.one_in(3) ? dice_.below(messages_.size()) : messages_.size() - 1 - dice_.below(recent);
  const Message& message = messages_[original];
  if (message.tenant == kNomad) return fresh(log_time_ms);
  if (!message.alone || message.flaw == Flaw::kUnreadable || message.flaw == Flaw::kUnmetered)
    return original;
  const auto copies = std::count_if(messages_.begin(), messages_.end(), [&](const Message& other) {
    return other.identity == message.identity;
  });
  if (copies >= 5 || dice_.one_in(2)) return original;
  return changed_copy(original, log_time_ms);
}

std::size_t Workload::next(std::int64_t log_time_ms) {
  std::size_t chosen = 0;
  if (messages_.empty() || dice_.below(100) < 55) {
    chosen = fresh(log_time_ms);
  } else {
    chosen = copy_of_some(log_time_ms);
    // The auditor tries every subset of the copies of an identity that is alone.
    if (messages_[chosen].alone && sent_[messages_[chosen].identity] >= kMostCopies)
      chosen = fresh(log_time_ms);
  }
  ++sent_[messages_[chosen].identity];
  return chosen;
}

LogEntry Workload::entry(std::size_t index, std::int64_t log_time_ms) {
  const Message& message = messages_[index];
  LogEntry entry;
  entry.log_time_ms = log_time_ms;
  entry.message = index;
  entry.key = message.id;
  if (message.flaw == Flaw::kUnreadable) {
    entry.value = R"({"specversion":"1.0","id":)";
    return entry;
  }
  const std::string time =
      message.time_us
          ? fmt::format(R"("time":"{}",)",
                        core::to_rfc3339(core::Timestamp::from_micros(*message.time_us)))
          : std::string();
  entry.value = fmt::format(
      R"({{"specversion":"1.0","id":"{}","source":"{}","type":"{}","subject":"{}",{}"data":{}}})",
      message.id, message.source, message.type, message.tenant, time, data_[index]);
  return entry;
}

}  // namespace tally::simulation
