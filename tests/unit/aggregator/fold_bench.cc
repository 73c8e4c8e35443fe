#include "tests/unit/aggregator/fold_bench.h"

#include "core/check.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace tally::aggregator {

namespace {

core::IdentityHasher::Key bench_key() {
  core::IdentityHasher::Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) key.at(i) = static_cast<std::byte>(7 * i + 1);
  return key;
}

dedup::MemorySettings bench_memory(const FoldRules& rules) {
  dedup::MemorySettings settings;
  settings.horizon_days = remembered_days(rules);
  return settings;
}

core::Meter meter(std::string slug, std::string event_type, core::Aggregation aggregation) {
  core::Meter meter;
  meter.slug = std::move(slug);
  meter.event_type = std::move(event_type);
  meter.aggregation = aggregation;
  return meter;
}

// The line without its indentation and trailing spaces.
std::string trimmed(std::string_view line) {
  const auto first = line.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(line.substr(first, line.find_last_not_of(' ') - first + 1));
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    line = trimmed(line);
    if (!line.empty() && line.front() != '#') lines.push_back(line);
  }
  return lines;
}

std::string ledger_line(const BatchPlan& plan) {
  LedgerDelta sum;
  for (const auto& [where, line] : plan.ledger) {
    sum.consumed += line.consumed;
    sum.received += line.received;
    sum.handed_off += line.handed_off;
    sum.readmitted += line.readmitted;
    sum.rejected += line.rejected;
    sum.unmetered += line.unmetered;
    sum.filtered += line.filtered;
    sum.duplicate += line.duplicate;
    sum.conflict += line.conflict;
    sum.late += line.late;
    sum.counted += line.counted;
    sum.skipped += line.skipped;
    sum.lost += line.lost;
    sum.unverifiable += line.unverifiable;
  }
  std::string text = fmt::format("consumed {}", sum.consumed);
  const std::pair<const char*, std::int64_t> parts[] = {{"received", sum.received},
                                                        {"handed_off", sum.handed_off},
                                                        {"counted", sum.counted},
                                                        {"readmitted", sum.readmitted},
                                                        {"duplicate", sum.duplicate},
                                                        {"unverifiable", sum.unverifiable},
                                                        {"conflict", sum.conflict},
                                                        {"late", sum.late},
                                                        {"rejected", sum.rejected},
                                                        {"unmetered", sum.unmetered},
                                                        {"filtered", sum.filtered},
                                                        {"skipped", sum.skipped},
                                                        {"lost", sum.lost}};
  for (const auto& [name, value] : parts) {
    if (value != 0) text += fmt::format(" {} {}", name, value);
  }
  return text + "\n";
}

}  // namespace

core::Meter sum_meter(std::string slug, std::string event_type, std::string value) {
  core::Meter sum = meter(std::move(slug), std::move(event_type), core::Aggregation::kSum);
  sum.value = {std::move(value)};
  return sum;
}

core::Meter count_meter(std::string slug, std::string event_type) {
  return meter(std::move(slug), std::move(event_type), core::Aggregation::kCount);
}

core::Meter latest_meter(std::string slug, std::string event_type, std::string value) {
  core::Meter latest = meter(std::move(slug), std::move(event_type), core::Aggregation::kLatest);
  latest.value = {std::move(value)};
  return latest;
}

core::Meter grouped(core::Meter meter, std::vector<std::string> dimensions) {
  for (std::string& name : dimensions) meter.group_by.push_back({name, {name}});
  return meter;
}

core::Meter where(core::Meter meter, std::string member, core::FilterKind kind,
                  std::vector<core::Scalar> values) {
  meter.where.push_back({{std::move(member)}, kind, std::move(values)});
  return meter;
}

core::Timestamp bench_time(std::string_view text) {
  if (text.find('T') != std::string_view::npos) return core::parse_rfc3339(text).value();
  std::int64_t days = 0;
  if (const auto plus = text.find('+'); plus != std::string_view::npos) {
    days = std::stoll(std::string(text.substr(0, plus)));
    text.remove_prefix(plus + 1);
  }
  const auto of_day = core::parse_rfc3339(fmt::format("1970-01-01T{}Z", text));
  TALLY_CHECK(of_day.has_value(), "{}", text);
  return core::Timestamp::from_micros((kBenchDaySeconds + days * 86'400) * 1'000'000 +
                                      of_day.value().micros());
}

std::string structured_event(std::string_view id, std::string_view tenant, std::string_view type,
                             std::string_view time, std::string_view data) {
  const std::string when = time == "-" ? "" : fmt::format(R"("time":"{}",)", time);
  return fmt::format(
      R"({{"specversion":"1.0","id":"{}","source":"api","type":"{}","subject":"{}",{}"data":{}}})",
      id, type, tenant, when, data);
}

FoldBench::FoldBench(std::vector<core::Meter> meters, FoldRules rules,
                     std::int64_t definition_version, core::PartitionId partition)
    : state(partition, bench_memory(rules)), hasher_(bench_key()), rules_(rules) {
  state.slowest_day = log_day_of(core::Timestamp::from_seconds(core::kEndOfEventsSeconds));
  change_catalogue(std::move(meters), definition_version);
}

void FoldBench::change_catalogue(std::vector<core::Meter> meters, std::int64_t definition_version) {
  meters_ = std::make_shared<const MeterSet>(std::move(meters),
                                             core::CatalogueVersion(definition_version),
                                             core::CatalogueVersion(definition_version));
  fold_ = std::make_unique<Fold>(meters_, hasher_, rules_, tenants_);
}

void FoldBench::know(std::shared_ptr<const TenantBook> tenants) {
  tenants_ = std::move(tenants);
  fold_ = std::make_unique<Fold>(meters_, hasher_, rules_, tenants_);
}

RecordClass FoldBench::add(const std::string& value, core::Timestamp log_time) {
  return add_at(state.position.value(), value, log_time);
}

RecordClass FoldBench::add_at(std::int64_t offset, const std::string& value,
                              core::Timestamp log_time) {
  runtime::kafka::Record record;
  record.partition = state.id.value();
  record.offset = offset;
  record.log_time_ms = log_time.millis();
  record.log_time_kind = runtime::kafka::LogTimeKind::kLogAppendTime;
  record.value = value;
  plan.meters = meters_;
  const RecordClass record_class = fold_->add({&record, 1}, state, plan);
  check_conservation(plan);
  return record_class;
}

void FoldBench::receive(const HandoffRow& row) {
  plan.meters = meters_;
  fold_->receive(row, state, plan);
  check_conservation(plan);
}

void FoldBench::check(std::string_view table) {
  for (const std::string& line : lines_of(table)) {
    const auto bar = line.rfind('|');
    TALLY_CHECK(bar != std::string::npos, "no class in: {}", line);
    std::istringstream in(line.substr(0, bar));
    std::string log, time, id, tenant, type, data;
    in >> log >> time >> id >> tenant >> type >> std::ws;
    std::getline(in, data);
    const std::string when = time == "-" ? time : core::to_rfc3339(bench_time(time));
    const RecordClass got =
        add(structured_event(id, tenant, type, when, trimmed(data)), bench_time(log));
    EXPECT_EQ(name_of(got), trimmed(line.substr(bar + 1))) << line;
  }
}

std::string FoldBench::statement() const {
  std::string text = ledger_line(plan);
  std::map<std::string, std::string> rows;
  const auto place = [&](const WindowKey& key) {
    return fmt::format(
        "{} {} {} {}", key.tenant(), plan.meters->meters()[key.meter].slug,
        core::to_rfc3339(core::Timestamp::from_seconds(key.start_seconds)).substr(0, 16),
        key.dimensions());
  };
  for (const auto& [key, delta] : plan.totals.usage) {
    rows[place(key)] = fmt::format("{} of {}", delta.quantity.to_string(), delta.events);
  }
  for (const auto& [key, gauge] : plan.totals.gauges) {
    rows[place(key)] = fmt::format("shows {} at {} of {}", gauge.reading.to_string(),
                                   core::to_rfc3339(gauge.read_at).substr(11, 8), gauge.events);
  }
  for (const auto& [where, value] : rows) text += fmt::format("{} = {}\n", where, value);
  for (const RejectRow& row : plan.rejects) {
    text += fmt::format("#{} {} {}{}\n", row.offset.value(), to_string(row.reject_class),
                        row.reason, row.meter.empty() ? "" : " " + row.meter);
  }
  for (const auto& [where, count] : plan.meter_rejects) {
    text += fmt::format("bad {} {}\n", plan.meters->meters()[where.first].slug, count);
  }
  return text;
}

std::string_view name_of(RecordClass record_class) {
  switch (record_class) {
    case RecordClass::kHandedOff:
      return "handed_off";
    case RecordClass::kReadmitted:
      return "readmitted";
    case RecordClass::kRejected:
      return "rejected";
    case RecordClass::kUnmetered:
      return "unmetered";
    case RecordClass::kFiltered:
      return "filtered";
    case RecordClass::kDuplicate:
      return "duplicate";
    case RecordClass::kConflict:
      return "conflict";
    case RecordClass::kLate:
      return "late";
    case RecordClass::kCounted:
      return "counted";
  }
  return "unknown";
}

void expect_statement(const FoldBench& bench, std::string_view expected) {
  std::string text;
  std::istringstream in{std::string(expected)};
  for (std::string line; std::getline(in, line);) {
    line = trimmed(line);
    if (!line.empty()) text += line + "\n";
  }
  EXPECT_EQ(bench.statement(), text);
}

}  // namespace tally::aggregator
