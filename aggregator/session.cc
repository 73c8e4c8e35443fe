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
using runtime::postgres::StatementFailed;
using runtime::postgres::Unavailable;

// So many stay in the processor's caches until they are folded.
constexpr std::size_t kPollRecords = 2'000;
constexpr std::int64_t kBacklogRecords = 10'000;
constexpr int kBacklogIntervals = 4;
constexpr std::size_t kLargeCommit = 50'000;  // rows: other owners wait for its locks
constexpr std::chrono::milliseconds kLongestBacklogInterval = 5s;
constexpr auto kBrokerAnswerTime = 5s;
// A partition may lose its leader for long, and all others wait while its end is asked for: a tenth
// of the time at most.
constexpr std::chrono::milliseconds kEndAnswerTime = 1s;
constexpr auto kAskAnyEndAgainAfter = 10s;
constexpr auto kAskEndAgainAfter = 60s;
constexpr std::ptrdiff_t kMostAskEndFactor = 10;

}  // namespace

LogDay remembered_days(const SessionSettings& settings) {
  return remembered_days(FoldRules{settings.horizon_seconds, settings.future_bound_seconds, 1});
}

std::chrono::milliseconds longest_poll(std::chrono::milliseconds commit_interval) {
  return std::clamp<std::chrono::milliseconds>(commit_interval / 10, 5ms, 50ms);
}

Session::Session(const SessionSettings& settings, Environment& environment, Probe& probe,
                 Membership membership)
    : settings_(settings),
      environment_(environment),
      probe_(probe),
      membership_(membership),
      pace_(environment.pace),
      store_(environment.store()),
      committer_(environment.committer()) {}

Session::~Session() {
  // Closing the client still calls back: a session that failed must commit and acquire nothing.
  end("closed");
  plan_.reset();
  owned_.clear();
  source_.reset();
  probe_.session_ended();
}

void Session::end(std::string reason) {
  if (end_reason_.empty()) end_reason_ = std::move(reason);
}

std::string Session::run() {
  probe_.session_started();
  source_ = environment_.source(*this, membership_);
  while (!pace_.stop_requested() && !open()) pace_.wait_for(1s);
  while (!pace_.stop_requested() && end_reason_.empty()) {
    const kafka::RecordBatch batch =
        source_->poll(kPollRecords, longest_poll(settings_.commit_interval));
    probe_.problem("kafka", source_->transport_problem());
    if (!batch.out_of_range.empty()) {
      end(fmt::format("partition {}: the stored offset is no longer in the log",
                      batch.out_of_range.front()));
    }
    if (end_reason_.empty()) {
      look_for_handoffs();
      look_for_orphans();
      ingest(batch);
      note_ends(batch);
    }
    take_report(0ms);
    submit_when_due();
  }
  if (end_reason_.empty()) {
    if (drain(kDrainTime)) {
      leave_runs(nullptr);
    } else {
      log::warn("drain_incomplete", {{"what", "uncommitted records will be read again"}});
    }
    end("stopped");
  }
  return end_reason_;
}

// Learns the topic and the catalogue; false: not yet, and the probe says why.
bool Session::open() {
  const auto partitions = source_->partition_count(kBrokerAnswerTime);
  if (!partitions || *partitions == 0) {
    const std::string problem = source_->transport_problem();
    probe_.problem("kafka", partitions
                                ? "topic " + settings_.topic +
                                      " does not exist: create it as schemas/topics says"
                                : "no answer from " + settings_.brokers +
                                      (problem.empty() ? std::string() : " (" + problem + ")"));
    return false;
  }
  probe_.problem("kafka", "");
  Deployment deployment;
  try {
    deployment = store_->open(
        {settings_.topic, *partitions, settings_.horizon_seconds, settings_.future_bound_seconds});
  } catch (const Unavailable& failure) {
    probe_.problem("postgres", failure.what());
    return false;
  }
  probe_.problem("postgres", "");
  if (deployment.partitions > *partitions) {
    probe_.problem("kafka", fmt::format("the brokers show {} partitions of topic {}, but {} are "
                                        "known already: waiting for newer metadata",
                                        *partitions, settings_.topic, deployment.partitions));
    return false;
  }
  meters_ = std::move(deployment.meters);
  hasher_.emplace(deployment.identity_key);
  generation_ = deployment.generation;
  partitions_ = deployment.partitions;
  fold_.emplace(meters_, *hasher_,
                FoldRules{settings_.horizon_seconds, settings_.future_bound_seconds, partitions_},
                std::move(deployment.tenants));
  look_for_orphans_at_ = pace_.now() + settings_.stall_limit;
  log::info("session_open", {{"topic", settings_.topic},
                             {"partitions", partitions_},
                             {"generation", generation_.value()},
                             {"catalogue_version", meters_->version().value()},
                             {"meters", meters_->meters().size()}});
  return true;
}

BatchPlan& Session::open_plan() {
  if (!plan_) plan_ = std::make_unique<BatchPlan>();
  if (plan_->empty()) plan_started_ = pace_.now();
  plan_->topic = settings_.topic;
  plan_->meters = meters_;
  return *plan_;
}

void Session::ingest(const kafka::RecordBatch& batch) {
  if (batch.records.empty()) return;
  if (!std::exchange(saw_record_, true)) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    log::info("first_record",
              {{"at_us", std::chrono::duration_cast<std::chrono::microseconds>(now).count()}});
  }
  BatchPlan& plan = open_plan();
  std::span<const kafka::Record> rest(batch.records);
  while (!rest.empty() && end_reason_.empty()) {
    const auto other = std::ranges::find_if(rest, [&](const kafka::Record& record) {
      return record.partition != rest.front().partition;
    });
    const auto same = rest.first(static_cast<std::size_t>(other - rest.begin()));
    rest = rest.subspan(same.size());
    const auto found = owned_.find(same.front().partition);
    if (found == owned_.end()) continue;  // of a partition that was revoked meanwhile
    fold_records(same, found->second, plan);
  }
  runtime::lifecycle::failpoint("aggregator.after_fold");
}

// Of one partition, as the client gave them out: after a rebalance it may begin anew in the middle.
void Session::fold_records(std::span<const kafka::Record> records, Owned& owned, BatchPlan& plan) {
  while (!records.empty() && owned.verifying && end_reason_.empty()) {
    verify(records.front(), owned);
    records = records.subspan(1);
  }
  while (!records.empty() && end_reason_.empty()) {
    const auto turn = std::ranges::adjacent_find(
        records, [](const auto& a, const auto& b) { return b.offset <= a.offset; });
    const bool all = turn == records.end();
    const auto ascending =
        all ? records : records.first(static_cast<std::size_t>(turn - records.begin()) + 1);
    records = records.subspan(ascending.size());
    fold_ascending(ascending, owned, plan);
  }
}

void Session::fold_ascending(std::span<const kafka::Record> records, Owned& owned,
                             BatchPlan& plan) {
  PartitionState& state = *owned.state;
  const auto below = [&](const kafka::Record& record) {
    return record.offset < state.position.value();
  };
  records = {std::ranges::find_if_not(records, below), records.end()};
  if (records.empty() || !goes_on(owned, records.front().offset)) return;
  const auto stamped = [](const kafka::Record& record) {
    return record.log_time_kind == kafka::LogTimeKind::kLogAppendTime;
  };
  if (!std::ranges::all_of(records, stamped)) {
    throw Misconfigured(
        "topic " + settings_.topic +
        " does not carry the broker's time: set its "
        "message.timestamp.type to LogAppendTime (schemas/topics) and start with a new topic");
  }
  fold_->add(records, state, plan);
  owned.caught_up = false;
  state.last_digest = record_digest(records.back());
  plan.partitions.at(state.id).last_digest = state.last_digest;
}

void Session::note_ends(const kafka::RecordBatch& batch) {
  for (const kafka::EndOfPartition& end_mark : batch.ends) {
    const auto found = owned_.find(end_mark.partition);
    if (found == owned_.end()) continue;
    PartitionState& state = *found->second.state;
    if (end_mark.offset < state.position.value()) continue;
    if (!goes_on(found->second, end_mark.offset)) return;
    if (found->second.verifying) continue;
    if (end_mark.offset > state.position.value()) {
      // Only control records and aborted transactions lie between the last record and the end.
      fold_->skip_to(core::Offset(end_mark.offset), state, open_plan());
    }
    found->second.caught_up = true;
  }
  const bool idle = (!plan_ || plan_->empty()) && !committer_->busy();
  if (!idle || !caught_up()) return;
  probe_.progressed();
  if (joined_) probe_.problem("service", "");
}

bool Session::caught_up() const {
  return std::all_of(owned_.begin(), owned_.end(),
                     [](const auto& entry) { return entry.second.caught_up; });
}

// What other partitions handed off to ours, and what an admin readmitted.
void Session::look_for_handoffs() {
  // A full plan is looked past, not for an interval but until it is submitted: a partition of
  // nothing but rejects would keep them waiting for good.
  if (owned_.empty() || full_for_handoffs() || pace_.now() < look_for_handoffs_at_) return;
  look_for_handoffs_at_ = pace_.now() + settings_.commit_interval;
  try {
    const auto slowest = store_->slowest_day();
    // Behind the one that was silent last: many of them must leave the others their turn.
    auto turn = owned_.upper_bound(asked_in_vain_);
    for (std::size_t left = owned_.size(); left > 0; --left, ++turn) {
      if (turn == owned_.end()) turn = owned_.begin();
      Owned& owned = turn->second;
      LogDay& known = owned.state->slowest_day;
      known = std::max(known, slowest.value_or(known));
      if (!owned.verifying) receive_handoffs(owned);
    }
    probe_.problem("handoff", "");
  } catch (const Unavailable&) {
    end(kConnectionBroke);
  } catch (const StatementFailed& failure) {
    probe_.problem("handoff", failure.what());
  }
}

// The group takes a static member back without a new assignment, so a topic that grew while nobody
// who decides on assignments was there has partitions that nobody reads: a new member makes the
// group decide again. Only when no more were acquired since the last look: a first owner may be
// loading still.
void Session::look_for_orphans() {
  if (!look_for_orphans_at_ || !joined_ || pace_.now() < *look_for_orphans_at_) return;
  look_for_orphans_at_ = pace_.now() + settings_.stall_limit;
  try {
    const std::int32_t orphans = store_->never_owned();
    probe_.problem("group", orphans == 0 ? std::string()
                                         : fmt::format("{} partitions of topic {} have no owner",
                                                       orphans, settings_.topic));
    const std::int32_t before = std::exchange(orphans_, orphans);
    if (orphans == 0) {
      look_for_orphans_at_.reset();
    } else if (orphans == before && membership_ == Membership::kConfigured) {
      next_membership_ = Membership::kNewMember;
      end(fmt::format("{} partitions have no owner: joining the group as a new member", orphans));
    }
  } catch (const Unavailable&) {
    end(kConnectionBroke);
  } catch (const StatementFailed& failure) {
    probe_.problem("group", failure.what());
  }
}

// Nothing lies in its log now that was not folded, nor of a transaction that is still open. What
// was so a moment ago may be days old: this process may have been stopped since.
bool Session::read_to_the_end(Owned& owned) {
  const auto marks = source_->watermarks(owned.state->id.value(), kEndAnswerTime);
  if (!marks) {
    // The more of them are silent, the more seldom each is asked: the others go on meanwhile.
    ask_any_end_at_ = pace_.now() + kAskAnyEndAgainAfter;
    asked_in_vain_ = owned.state->id.value();
    const auto silent =
        1 + std::count_if(owned_.begin(), owned_.end(), [now = pace_.now()](const auto& entry) {
          return entry.second.ask_end_at > now;
        });
    owned.ask_end_at = pace_.now() + kAskEndAgainAfter * std::min(silent, kMostAskEndFactor);
  }
  return marks && marks->high <= owned.state->position.value();
}

// A record of today moves the clock. While a partition's own log of last week is still unread, it
// waits: all of that would come too late to be told from what is forgotten by then.
void Session::receive_handoffs(Owned& owned) {
  const auto waiting = [&](std::optional<LogDay> last_day) {
    return store_->waiting_handoffs(owned.state->id, owned.under_way, last_day);
  };
  if (full_for_handoffs()) return;
  receive(waiting(log_day_of(owned.state->last_log_time)), owned);
  if (!owned.caught_up || full_for_handoffs()) return;
  if (pace_.now() < std::max(ask_any_end_at_, owned.ask_end_at)) return;
  const auto later = waiting(std::nullopt);
  // Asked after the rows were read: what comes into the log from now on is later than they are.
  if (!later.empty() && read_to_the_end(owned)) receive(later, owned);
}

void Session::receive(const std::vector<HandoffRow>& rows, Owned& owned) {
  for (const HandoffRow& row : rows) {
    if (full_for_handoffs()) return;  // the rest waits, and is read again
    const bool fresh = owned.under_way.insert(row.id).second;
    TALLY_CHECK(fresh, "handoff {} came twice", row.id.value());
    fold_->receive(row, *owned.state, open_plan());
  }
}

void Session::take_report(std::chrono::milliseconds time) {
  const auto report = committer_->take_report(time);
  if (!report) return;
  switch (report->fate) {
    case PlanFate::kFenced:
      end("a commit was fenced: another owner, or another past, stands in the database");
      return;
    case PlanFate::kCatalogueMoved:
      end("the catalogue changed");
      leave_runs(report->plan.get());
      return;
    case PlanFate::kConnectionBroke:
      end(kConnectionBroke);
      return;
    case PlanFate::kCommitted:
      probe_.problem("service", "");
      break;
  }
  runtime::lifecycle::failpoint("aggregator.before_mirror");
  remember(*report->plan);
  spill_when_over_budget();
  std::vector<std::pair<std::int32_t, std::int64_t>> offsets;
  for (const auto& [partition, advance] : report->plan->partitions) {
    if (owned_.contains(partition.value()))
      offsets.emplace_back(partition.value(), advance.next.value());
  }
  source_->mirror_offsets(offsets);
  report_ownership();
}

void Session::submit() {
  for (auto& [where, segment] : plan_->segments) segment.token = environment_.new_token();
  committer_->submit(std::exchange(plan_, nullptr));
}

bool Session::plan_full() const {
  return plan_ &&
         (plan_->records + static_cast<std::int64_t>(kPollRecords) > core::kMaxRecordsPerCommit ||
          plan_->totals.rows() >= core::kMaxRowsPerCommit ||
          plan_->totals.texts->bytes() >= core::kMaxTextBytesPerCommit ||
          plan_->handoff_bytes > core::kMaxHandoffBytesPerCommit);
}

// Verdicts of replayed records have no budget to overflow (fold.cc), so they stop here: promise P8.
bool Session::full_for_handoffs() const {
  return plan_full() || (plan_ && static_cast<std::int64_t>(plan_->rejects.size()) >=
                                      core::kMaxRejectRowsPerCommit);
}

void Session::submit_when_due() {
  if (!end_reason_.empty()) return;
  if (!plan_ || plan_->empty()) {
    committer_->pass();
    return;
  }
  // A full plan waits for the commit before it: reading stops, memory stays bounded (promise P8).
  const bool full = plan_full();
  while (full && committer_->busy() && end_reason_.empty() && !pace_.stop_requested())
    take_report(100ms);
  if (committer_->busy() || !end_reason_.empty()) return;
  // The end of a backlog does not wait for the interval: there is nothing more to put into the
  // plan.
  const bool backlog_done = plan_->records >= kBacklogRecords && caught_up();
  if (full || backlog_done || interval_over() || committer_->boarding()) submit();
}

// A commit's price is in the rows it touches, and twice the records touch far fewer than twice the
// rows. Whoever is far behind the log loses nothing by reading on.
bool Session::interval_over() const {
  const auto waited = pace_.now() - plan_started_;
  if (waited < settings_.commit_interval) return false;
  const std::chrono::milliseconds longest = std::min<std::chrono::milliseconds>(
      settings_.commit_interval * kBacklogIntervals, kLongestBacklogInterval);
  return waited >= longest || plan_->totals.rows() > kLargeCommit || !far_behind();
}

// As much is waiting as the plan has. What stands behind an open transaction cannot be read yet.
bool Session::far_behind() const {
  std::int64_t waiting = 0;
  for (const auto& [partition, owned] : owned_) {
    if (owned.caught_up) continue;
    const std::int64_t end = source_->fetched_end(partition).value_or(0);
    waiting += std::max<std::int64_t>(0, end - owned.state->position.value());
  }
  return waiting > 0 && waiting >= plan_->records;
}

// Commits what was folded, and waits for it. False: time is over or the session is.
bool Session::drain(std::chrono::milliseconds time) {
  const auto deadline = pace_.now() + time;
  while (end_reason_.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - pace_.now());
    if (committer_->busy()) {
      if (left <= 0ms) return false;
      take_report(left);
    } else if (plan_ && !plan_->empty()) {
      submit();
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

}  // namespace tally::aggregator
