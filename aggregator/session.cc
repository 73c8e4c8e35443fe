#include "aggregator/session.h"

#include "aggregator/record_digest.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/lifecycle/failpoint.h"
#include "runtime/log/log.h"
#include "runtime/postgres/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::aggregator {

namespace {

using namespace std::chrono_literals;
namespace kafka = runtime::kafka;
namespace log = runtime::log;

constexpr std::size_t kPollRecords = 20'000;
constexpr std::int64_t kBacklogRecords = 10'000;
constexpr auto kBrokerAnswerTime = 5s;
constexpr auto kDrainTime = 10s;

bool has_foreign(const BatchPlan& plan) {
  return std::any_of(plan.rejects.begin(), plan.rejects.end(), [](const RejectRow& row) {
    return row.reason == to_string(RejectReason::kForeignPartition);
  });
}

}  // namespace

Session::Session(const SessionSettings& settings, const StoreFactory& stores, Probe& probe,
                 const runtime::lifecycle::StopSignal& stop)
    : settings_(settings),
      probe_(probe),
      stop_(stop),
      store_(stores()),
      committer_(stores(), probe) {}

Session::~Session() {
  // Closing the consumer still calls back: a session that failed must commit and acquire nothing.
  end("closed");
  plan_.reset();
  owned_.clear();
  consumer_.reset();
  probe_.session_ended();
}

LogDay Session::horizon_days() const {
  return static_cast<LogDay>((settings_.horizon_seconds + core::kDaySeconds - 1) /
                             core::kDaySeconds) +
         1;
}

void Session::end(std::string reason) {
  if (end_reason_.empty()) end_reason_ = std::move(reason);
}

std::string Session::run() {
  probe_.session_started();
  consumer_ = std::make_unique<kafka::Consumer>(settings_.kafka, *this);
  while (!stop_.requested() && !open()) stop_.wait_for(1s);
  while (!stop_.requested() && end_reason_.empty()) {
    const kafka::RecordBatch batch = consumer_->poll(kPollRecords, poll_time());
    probe_.problem("kafka", consumer_->transport_problem());
    if (!batch.out_of_range.empty()) {
      end(fmt::format("partition {}: the stored offset is no longer in the log",
                      batch.out_of_range.front()));
    }
    if (end_reason_.empty()) {
      ingest(batch);
      note_ends(batch);
    }
    take_report(0ms);
    submit_when_due();
  }
  if (end_reason_.empty()) {
    if (!drain(kDrainTime))
      log::warn("drain_incomplete", {{"what", "uncommitted records will be read again"}});
    end("stopped");
  }
  return end_reason_;
}

// Learns the topic and the catalogue; false: not yet, and the probe says why.
bool Session::open() {
  const auto partitions = consumer_->partition_count(kBrokerAnswerTime);
  if (!partitions || *partitions == 0) {
    const std::string problem = consumer_->transport_problem();
    probe_.problem("kafka", partitions ? "topic " + settings_.kafka.topic +
                                             " does not exist: create it as schemas/topics says"
                                       : "no answer from " + settings_.kafka.brokers +
                                             (problem.empty() ? "" : " (" + problem + ")"));
    return false;
  }
  probe_.problem("kafka", "");
  try {
    Deployment deployment = store_->open(settings_.kafka.topic, *partitions);
    meters_ = std::move(deployment.meters);
    hasher_.emplace(deployment.identity_key);
  } catch (const runtime::postgres::Unavailable& failure) {
    probe_.problem("postgres", failure.what());
    return false;
  }
  probe_.problem("postgres", "");
  partitions_ = *partitions;
  decoder_.emplace(*meters_);
  fold_.emplace(meters_, *hasher_,
                FoldRules{settings_.horizon_seconds, settings_.future_bound_seconds, *partitions});
  log::info("session_open", {{"topic", settings_.kafka.topic},
                             {"partitions", *partitions},
                             {"catalogue_version", meters_->version().value()},
                             {"meters", meters_->meters().size()}});
  return true;
}

std::vector<std::int64_t> Session::assigned(const std::vector<std::int32_t>& partitions) {
  if (!end_reason_.empty() || !fold_) throw std::runtime_error("the session is over");
  check_partition_count();
  std::vector<std::int64_t> starts;
  starts.reserve(partitions.size());
  for (const std::int32_t partition : partitions) starts.push_back(acquire(partition));
  joined_ = true;
  report_ownership();
  probe_.progressed();
  return starts;
}

std::int64_t Session::acquire(std::int32_t partition) {
  for (;;) {
    if (stop_.requested()) throw std::runtime_error("stopped while acquiring a partition");
    const auto marks = consumer_->watermarks(partition, kBrokerAnswerTime);
    if (!marks) {
      probe_.problem("kafka",
                     fmt::format("no answer on where partition {} begins and ends", partition));
      stop_.wait_for(500ms);
      continue;
    }
    probe_.problem("kafka", "");
    std::unique_ptr<PartitionState> state;
    try {
      state = store_->acquire({core::PartitionId(partition), core::Offset(marks->low),
                               settings_.owner, horizon_days()});
    } catch (const runtime::postgres::Unavailable& failure) {
      probe_.problem("postgres", failure.what());
    } catch (const runtime::postgres::StatementFailed& failure) {
      probe_.problem("postgres",
                     failure.what());  // a commit of the last owner was under way: once more
    }
    if (!state) {
      stop_.wait_for(500ms);
      continue;
    }
    probe_.problem("postgres", "");
    if (marks->high < state->position.value()) {
      throw Misconfigured(
          fmt::format("partition {} ends at offset {}, but everything below {} was counted: the "
                      "topic was recreated or truncated; "
                      "give a new topic a new database, or restore the topic",
                      partition, marks->high, state->position.value()));
    }
    Owned owned{std::move(state), false, false};
    std::int64_t start = owned.state->position.value();
    if (marks->low > start) {
      log::error(
          "records_lost",
          {{"partition", partition},
           {"first", start},
           {"last", marks->low - 1},
           {"what", "retention removed them before they were read: raise the topic's retention"}});
      if (!plan_) plan_ = std::make_unique<BatchPlan>();
      fold_->lose_to(core::Offset(marks->low), *owned.state, *plan_);
      start = marks->low;
    } else if (owned.state->last_offset && owned.state->last_offset->value() >= marks->low) {
      owned.verifying = true;
      start = owned.state->last_offset->value();
    }
    if (ever_owned_[partition] && !owned.verifying) {
      end("a partition came back and cannot be told from what still waits in the client's queue");
    }
    ever_owned_[partition] = true;
    log::info("partition_acquired", {{"partition", partition},
                                     {"epoch", owned.state->epoch.value()},
                                     {"offset", owned.state->position.value()},
                                     {"remembered", owned.state->memory.size()}});
    owned_.insert_or_assign(partition, std::move(owned));
    return start;
  }
}

void Session::revoked(const std::vector<std::int32_t>& partitions, kafka::Revocation kind) {
  if (kind == kafka::Revocation::kLost) {
    end("the assignment was lost: another member may own the partitions already");
    return;
  }
  if (end_reason_.empty() && !drain(kDrainTime))
    end("partitions were revoked before their last batch was committed");
  for (const std::int32_t partition : partitions) {
    owned_.erase(partition);
    log::info("partition_revoked", {{"partition", partition}});
  }
  report_ownership();
}

void Session::ingest(const kafka::RecordBatch& batch) {
  if (batch.records.empty()) return;
  if (!std::exchange(saw_record_, true)) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    log::info("first_record",
              {{"at_us", std::chrono::duration_cast<std::chrono::microseconds>(now).count()}});
  }
  if (!plan_) {
    plan_ = std::make_unique<BatchPlan>();
    plan_started_ = Probe::Clock::now();
  }
  if (plan_->empty()) plan_started_ = Probe::Clock::now();
  plan_->topic = settings_.kafka.topic;
  plan_->meters = meters_;
  std::map<std::int32_t, const kafka::Record*> last;
  for (const kafka::Record& record : batch.records) {
    const auto found = owned_.find(record.partition);
    if (found == owned_.end()) continue;  // of a partition that was revoked meanwhile
    Owned& owned = found->second;
    if (owned.verifying) {
      verify(record, owned);
      if (!end_reason_.empty()) return;
      continue;
    }
    if (record.offset < owned.state->position.value()) continue;
    if (record.log_time_kind != kafka::LogTimeKind::kLogAppendTime) {
      throw Misconfigured(
          "topic " + settings_.kafka.topic +
          " does not carry the broker's time: set its "
          "message.timestamp.type to LogAppendTime (schemas/topics) and start with a new topic");
    }
    fold_->add(record, decoder_->decode(record), *owned.state, *plan_);
    owned.caught_up = false;
    last[record.partition] = &record;
  }
  for (const auto& [partition, record] : last) {
    PartitionState& state = *owned_.at(partition).state;
    state.last_digest = record_digest(*record);
    plan_->partitions.at(state.id).last_digest = state.last_digest;
  }
  runtime::lifecycle::failpoint("aggregator.after_fold");
}

void Session::verify(const kafka::Record& record, Owned& owned) {
  const std::int64_t expected = owned.state->last_offset->value();
  if (record.offset < expected) return;
  if (record.offset == expected && record_digest(record) == owned.state->last_digest) {
    owned.verifying = false;
    return;
  }
  throw Misconfigured(
      fmt::format("partition {}: the record at offset {} is not the one that was counted: the "
                  "topic was recreated; give a new "
                  "topic a new database",
                  record.partition, expected));
}

void Session::note_ends(const kafka::RecordBatch& batch) {
  for (const kafka::EndOfPartition& end_mark : batch.ends) {
    const auto found = owned_.find(end_mark.partition);
    if (found == owned_.end() || found->second.verifying) continue;
    PartitionState& state = *found->second.state;
    if (end_mark.offset > state.position.value()) {
      // Only control records and aborted transactions lie between the last record and the end.
      if (!plan_) {
        plan_ = std::make_unique<BatchPlan>();
        plan_started_ = Probe::Clock::now();
      }
      plan_->topic = settings_.kafka.topic;
      plan_->meters = meters_;
      fold_->skip_to(core::Offset(end_mark.offset), state, *plan_);
    }
    found->second.caught_up = true;
  }
  const bool idle = (!plan_ || plan_->empty()) && !committer_.busy();
  if (!idle || !caught_up()) return;
  probe_.progressed();
  if (joined_) probe_.problem("service", "");
}

bool Session::caught_up() const {
  return std::all_of(owned_.begin(), owned_.end(),
                     [](const auto& entry) { return entry.second.caught_up; });
}

void Session::take_report(std::chrono::milliseconds time) {
  const auto report = committer_.take_report(time);
  if (!report) return;
  switch (report->fate) {
    case PlanFate::kFenced:
      end("a commit was fenced: another owner, or another past, stands in the database");
      return;
    case PlanFate::kCatalogueMoved:
      end("the catalogue changed");
      return;
    case PlanFate::kCommitted:
      probe_.problem("service", "");
      break;
  }
  runtime::lifecycle::failpoint("aggregator.before_mirror");
  std::vector<std::pair<std::int32_t, std::int64_t>> offsets;
  for (const auto& [partition, advance] : report->plan->partitions) {
    if (owned_.contains(partition.value()))
      offsets.emplace_back(partition.value(), advance.next.value());
  }
  consumer_->mirror_offsets(offsets);
  report_ownership();
}

// A grown topic moves the home of most ids: what looks foreign then is a good record.
void Session::check_partition_count() {
  const auto partitions = consumer_->partition_count(kBrokerAnswerTime);
  if (partitions && *partitions != partitions_) {
    throw Misconfigured(
        fmt::format("topic {} has {} partitions now, {} when this session began: its identities "
                    "moved, and nothing more is counted",
                    settings_.kafka.topic, *partitions, partitions_));
  }
}

void Session::submit_when_due() {
  if (!end_reason_.empty() || !plan_ || plan_->empty()) return;
  if (!committer_.busy() && has_foreign(*plan_)) check_partition_count();
  // A full plan waits for the commit before it: reading stops, memory stays bounded (promise P8).
  const bool full =
      plan_->records + static_cast<std::int64_t>(kPollRecords) > core::kMaxRecordsPerCommit;
  while (full && committer_.busy() && end_reason_.empty() && !stop_.requested()) take_report(100ms);
  if (committer_.busy() || !end_reason_.empty()) return;
  // The end of a backlog does not wait for the interval: there is nothing more to put into the
  // plan.
  const bool backlog_done = plan_->records >= kBacklogRecords && caught_up();
  if (full || backlog_done || Probe::Clock::now() - plan_started_ >= settings_.commit_interval) {
    plan_->topic = settings_.kafka.topic;
    plan_->meters = meters_;
    committer_.submit(std::exchange(plan_, nullptr));
  }
}

// Commits what was folded, and waits for it. False: time is over or the session is.
bool Session::drain(std::chrono::milliseconds time) {
  const auto deadline = Probe::Clock::now() + time;
  while (end_reason_.empty()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Probe::Clock::now());
    if (committer_.busy()) {
      if (left <= 0ms) return false;
      take_report(left);
    } else if (plan_ && !plan_->empty()) {
      if (has_foreign(*plan_)) check_partition_count();
      committer_.submit(std::exchange(plan_, nullptr));
    } else {
      return true;
    }
  }
  return false;
}

void Session::report_ownership() {
  std::size_t remembered = 0;
  std::size_t bytes = 0;
  for (const auto& [partition, owned] : owned_) {
    remembered += owned.state->memory.size();
    bytes += owned.state->memory.bytes();
  }
  probe_.partitions_owned(owned_.size(), remembered, bytes);
}

std::chrono::milliseconds Session::poll_time() const {
  const auto slice = std::min(settings_.commit_interval / 10, std::chrono::milliseconds(50));
  return std::max(slice, std::chrono::milliseconds(5));
}

}  // namespace tally::aggregator
