#include "aggregator/probe.h"

#include <fmt/format.h>

#include <utility>

namespace tally::aggregator {

namespace {

constexpr const char* kClassNames[] = {"handed_off", "rejected", "unmetered", "filtered",
                                       "duplicate",  "conflict", "late",      "counted",
                                       "readmitted", "received", "skipped",   "lost"};

}  // namespace

Probe::Probe(runtime::metrics::Registry& registry, const std::string& worker)
    : worker_(worker),
      commits_(registry.counter("tally_aggregator_commits_total", "Plans committed",
                                {{"worker", worker}})),
      commit_failures_(registry.counter("tally_aggregator_commit_failures_total",
                                        "Commits that failed and were tried again",
                                        {{"worker", worker}})),
      sessions_(registry.counter(
          "tally_aggregator_sessions_total",
          "Sessions started: one at start, one more after each fence or catalogue change",
          {{"worker", worker}})),
      commit_seconds_(registry.histogram(
          "tally_aggregator_commit_seconds", "Time from plan to commit",
          {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}, {{"worker", worker}})),
      partitions_(
          registry.gauge("tally_aggregator_partitions", "Partitions owned", {{"worker", worker}})),
      remembered_(registry.gauge("tally_aggregator_remembered_identities",
                                 "Identities in the dedup memory", {{"worker", worker}})),
      memory_bytes_(registry.gauge("tally_aggregator_memory_bytes", "Bytes of the dedup memory",
                                   {{"worker", worker}})),
      last_progress_(Clock::now()) {
  for (const char* name : kClassNames) {
    classes_.emplace(
        name, registry.counter("tally_aggregator_records_total", "Committed records by class",
                               {{"worker", worker}, {"class", name}}));
  }
}

void Probe::committed(const BatchPlan& plan, std::chrono::duration<double> took) {
  LedgerDelta sum;
  for (const auto& [where, line] : plan.ledger) {
    sum.handed_off += line.handed_off;
    sum.rejected += line.rejected;
    sum.unmetered += line.unmetered;
    sum.filtered += line.filtered;
    sum.duplicate += line.duplicate;
    sum.conflict += line.conflict;
    sum.late += line.late;
    sum.counted += line.counted;
    sum.readmitted += line.readmitted;
    sum.received += line.received;
    sum.skipped += line.skipped;
    sum.lost += line.lost;
  }
  const std::int64_t values[] = {sum.handed_off, sum.rejected, sum.unmetered, sum.filtered,
                                 sum.duplicate,  sum.conflict, sum.late,      sum.counted,
                                 sum.readmitted, sum.received, sum.skipped,   sum.lost};
  std::size_t i = 0;
  for (const std::int64_t value : values)
    classes_.at(kClassNames[i++]).add(static_cast<double>(value));
  commits_.add();
  commit_seconds_.observe(took.count());
  progressed();
}

void Probe::commit_failed() { commit_failures_.add(); }

void Probe::session_started() { sessions_.add(); }

void Probe::session_ended() {
  partitions_owned(0, 0, 0);
  const std::lock_guard lock(mutex_);
  joined_ = false;
}

void Probe::partitions_owned(std::size_t count, std::size_t remembered, std::size_t memory_bytes) {
  partitions_.set(static_cast<double>(count));
  remembered_.set(static_cast<double>(remembered));
  memory_bytes_.set(static_cast<double>(memory_bytes));
  const std::lock_guard lock(mutex_);
  joined_ = true;
}

void Probe::progressed() {
  const std::lock_guard lock(mutex_);
  last_progress_ = Clock::now();
}

void Probe::problem(const std::string& what, const std::string& sentence) {
  const std::lock_guard lock(mutex_);
  if (sentence.empty()) {
    problems_.erase(what);
  } else {
    problems_[what] = sentence;
  }
}

std::vector<std::string> Probe::reasons(Clock::time_point now,
                                        std::chrono::seconds stall_limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> found;
  found.reserve(problems_.size() + 2);
  for (const auto& [what, sentence] : problems_)
    found.push_back(fmt::format("worker {}: {}: {}", worker_, what, sentence));
  if (!found.empty()) return found;
  if (!joined_)
    found.push_back(fmt::format("worker {}: has not joined the consumer group yet", worker_));
  const auto idle = std::chrono::duration_cast<std::chrono::seconds>(now - last_progress_);
  if (idle > stall_limit) {
    found.push_back(
        fmt::format("worker {}: no progress for {} s: records wait, but nothing is committed",
                    worker_, idle.count()));
  }
  return found;
}

std::function<void(std::int64_t)> dimension_overflow_counter(runtime::metrics::Registry& registry) {
  auto counter = registry.counter(
      "tally_aggregator_dimension_overflow_total",
      "Events counted under {\"*\":\"overflow\"}: their tenant and meter had too many "
      "combinations of dimensions in the month");
  return [counter](std::int64_t events) mutable { counter.add(static_cast<double>(events)); };
}

}  // namespace tally::aggregator
