#include "admin/replay.h"

#include "admin/replay_report.h"
#include "core/limits.h"
#include "core/stored_headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::PartitionId;
using core::Result;
using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::Bytes;
using runtime::postgres::Connection;
using runtime::postgres::Params;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Records are up to 1 MiB each, and a page is in memory whole.
constexpr std::int64_t kPageRecords = 200;
// Blocks of tally.handoff are up to 2 MiB each.
constexpr std::int64_t kPageBlocks = 8;

// What filters() gives the values for.
constexpr std::string_view kMatches =
    " FROM tally.reject r LEFT JOIN tally.readmission a USING (topic, partition, record_offset, "
    "meter) WHERE r.topic = (SELECT topic FROM tally.deployment) AND r.meter = '' "
    "AND r.class = ANY ($1::text[]) AND ($2::text = '' OR r.reason = $2) "
    "AND ($3::text = '' OR r.tenant = $3) "
    "AND ($4::timestamptz IS NULL OR r.log_time >= $4::timestamptz) "
    "AND ($5::timestamptz IS NULL OR r.log_time < $5::timestamptz)";

// Each replay is judged once: one verdict more than replays, and none of them was counted.
constexpr std::string_view kNeverCounted = "r.verdicts > coalesce(a.times, 0)";

using Place = std::pair<std::int32_t, std::int64_t>;  // partition and offset

struct Page {
  std::vector<StoredReject> rejects;
  bool last = false;
};

// Of one home, in the order of their places.
struct Admitted {
  std::vector<const StoredReject*> rejects;
};

class Replay {
 public:
  Replay(Connection& connection, const ReplayRequest& request)
      : connection_(connection), request_(request) {}
  Result<void> run(std::ostream& out);

 private:
  Result<void> page();
  Result<Homes> homes(Transaction& transaction);
  [[nodiscard]] Params filters() const;
  void look_for_waiting(Transaction& transaction);
  Page next_page(Transaction& transaction);
  std::map<PartitionId, Admitted> judge(const Page& page, const Homes& homes);
  std::set<Place> claim(Transaction& transaction, const std::map<PartitionId, Admitted>& admitted);
  void hand_over(Transaction& transaction, PartitionId home, const Admitted& admitted,
                 const std::set<Place>& claimed, std::size_t partitions);
  void note_already();
  void note_not_kept();
  [[nodiscard]] bool repeats() const { return request_.repetition == Repetition::kOften; }
  // Which records this run passes over, for an earlier one replayed them.
  [[nodiscard]] std::string replayed_before() const;
  [[nodiscard]] bool at_limit() const { return report_.readmitted() >= request_.limit; }

  Connection& connection_;
  const ReplayRequest& request_;
  ReplayReport report_;
  Place after_{-1, -1};  // pages go by place: it never changes
  std::set<Place> waiting_;
  std::int64_t looked_to_ = 0;  // id of tally.handoff
  bool done_ = false;
};

Params Replay::filters() const {
  ArrayText classes;
  if (request_.record_class.empty()) {
    classes.add("late");
    classes.add("rejected");
  } else {
    classes.add(request_.record_class);
  }
  Params params = {classes.take(), request_.reason, request_.tenant, std::nullopt, std::nullopt};
  if (request_.from) params[3] = core::to_rfc3339(*request_.from);
  if (request_.to) params[4] = core::to_rfc3339(*request_.to);
  return params;
}

// Locks the topology, so that the homes hold until this transaction ends.
Result<Homes> Replay::homes(Transaction& transaction) {
  const Rows deployment = transaction.exec(
      "SELECT partitions, "
      "tally.remembered_days(horizon_seconds, future_bound_seconds), "
      "coalesce(dropped_before - DATE '1970-01-01', 0) "
      "FROM tally.deployment WHERE topic IS NOT NULL AND horizon_seconds IS NOT NULL FOR SHARE");
  if (deployment.size() == 0) {
    return Error{ErrorKind::kNotFound,
                 "no aggregator has used this database yet: there is nothing to replay"};
  }
  const std::int64_t remembered_days = deployment.int64(0, 1);
  const std::int64_t dropped_before = deployment.int64(0, 2);
  const Rows clocks = transaction.exec(
      "SELECT p, (extract(epoch FROM coalesce(s.last_log_time, (SELECT max(last_log_time) FROM "
      "tally.partition_state))) * 1000000)::bigint "
      "FROM generate_series(0, $1::integer - 1) p LEFT JOIN tally.partition_state s "
      "ON s.partition = p ORDER BY p",
      {std::string(deployment.text(0, 0))});
  Homes homes;
  for (std::size_t i = 0; i < clocks.size(); ++i) {
    if (clocks.is_null(i, 1)) {
      return Error{ErrorKind::kNotFound,
                   "no record was consumed into this database yet: there is nothing to replay"};
    }
    const std::int64_t today = clocks.int64(i, 1) / (core::kDaySeconds * 1'000'000);
    const std::int64_t since = std::max(today - remembered_days, dropped_before);
    homes.remembered_since.push_back(
        Timestamp::from_seconds(std::max<std::int64_t>(since, 0) * core::kDaySeconds));
  }
  return homes;
}

// What an earlier replay put into tally.handoff and nobody has judged yet would be judged twice.
// Other replays are kept out until this transaction ends. What they put there after an earlier look
// has higher ids, also when its home has changed since.
void Replay::look_for_waiting(Transaction& transaction) {
  if (request_.mode == ReplayMode::kApply)
    transaction.exec("LOCK TABLE tally.readmission IN SHARE ROW EXCLUSIVE MODE");
  for (;;) {
    const Rows rows = transaction.exec(
        "SELECT id, block FROM tally.handoff WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint",
        {std::to_string(looked_to_), std::to_string(kPageBlocks)});
    if (rows.size() == 0) return;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      looked_to_ = rows.int64(i, 0);
      const std::string block = rows.bytes(i, 1);
      core::HandoffReader reader(block);
      while (const auto record = reader.next()) {
        if (record->admission != core::Admission::kLog)
          waiting_.emplace(record->partition, record->offset);
      }
    }
  }
}

std::string Replay::replayed_before() const {
  if (!repeats()) return "a.topic IS NOT NULL";
  // Without the check nothing else would keep what was counted from being counted twice.
  if (request_.memory_check == MemoryCheck::kWaived) return fmt::format("NOT ({})", kNeverCounted);
  return "false";
}

Page Replay::next_page(Transaction& transaction) {
  Params params = filters();
  params.emplace_back(std::to_string(after_.first));
  params.emplace_back(std::to_string(after_.second));
  params.emplace_back(
      std::to_string(std::min(kPageRecords, request_.limit - report_.readmitted())));
  const Rows rows = transaction.exec(
      "SELECT r.partition, r.record_offset, (extract(epoch FROM r.log_time) * 1000000)::bigint, "
      "r.class, r.reason, coalesce(r.tenant, ''), coalesce(r.record_key, ''), "
      "coalesce(r.record_value, ''), coalesce(r.record_headers, ''), r.record_value IS NOT NULL" +
          std::string(kMatches) + " AND NOT (" + replayed_before() +
          ") AND (r.partition, r.record_offset) > ($6::integer, $7::bigint) "
          "ORDER BY r.partition, r.record_offset LIMIT $8::bigint",
      params);
  Page page;
  page.last = rows.size() == 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    page.rejects.push_back(
        {PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))), core::Offset(rows.int64(i, 1)),
         Timestamp::from_micros(rows.int64(i, 2)), std::string(rows.text(i, 3)),
         std::string(rows.text(i, 4)), std::string(rows.text(i, 5)), rows.bytes(i, 6),
         rows.bytes(i, 7), rows.bytes(i, 8), rows.boolean(i, 9)});
  }
  return page;
}

std::map<PartitionId, Admitted> Replay::judge(const Page& page, const Homes& homes) {
  std::map<PartitionId, Admitted> admitted;
  for (const StoredReject& reject : page.rejects) {
    after_ = {reject.partition.value(), reject.offset.value()};
    if (waiting_.contains(after_)) {
      report_.waiting(reject);
      continue;
    }
    const auto home = home_of_readmission(reject, homes, request_.memory_check);
    if (home) {
      admitted[home.value()].rejects.push_back(&reject);
    } else {
      report_.refused(reject, home.error().message);
    }
  }
  return admitted;
}

// The places that nobody has replayed, now this transaction's. One that another session is just
// claiming is waited for.
std::set<Place> Replay::claim(Transaction& transaction,
                              const std::map<PartitionId, Admitted>& admitted) {
  std::map<Place, const StoredReject*> wanted;  // in one order, so that two runs never deadlock
  for (const auto& [home, group] : admitted) {
    for (const StoredReject* reject : group.rejects)
      wanted.emplace(Place{reject->partition.value(), reject->offset.value()}, reject);
  }
  ArrayText partitions;
  ArrayText offsets;
  ArrayText reasons;
  for (const auto& [place, reject] : wanted) {
    partitions.add(place.first);
    offsets.add(place.second);
    reasons.add(reject->reason);
  }
  const Rows rows = transaction.exec(
      "INSERT INTO tally.readmission AS m (topic, partition, record_offset, reason) "
      "SELECT d.topic, t.* FROM tally.deployment d, "
      "unnest($1::integer[], $2::bigint[], $3::text[]) AS t "
      "ON CONFLICT (topic, partition, record_offset, meter) DO " +
          std::string(repeats() ? "UPDATE SET times = m.times + 1, requested_at = now(), "
                                  "reason = excluded.reason"
                                : "NOTHING") +
          " RETURNING partition, record_offset",
      {partitions.take(), offsets.take(), reasons.take()});
  std::set<Place> claimed;
  for (std::size_t i = 0; i < rows.size(); ++i)
    claimed.emplace(static_cast<std::int32_t>(rows.int64(i, 0)), rows.int64(i, 1));
  return claimed;
}

void Replay::hand_over(Transaction& transaction, PartitionId home, const Admitted& admitted,
                       const std::set<Place>& claimed, std::size_t partitions) {
  std::string block;
  std::int64_t records = 0;
  std::int64_t last_log_day = 0;
  const auto store = [&] {
    if (records == 0) return;
    transaction.exec(
        "INSERT INTO tally.handoff (source, home, partitions, records, block, last_log_day, "
        "readmission) VALUES ($1::integer, $1::integer, $2::integer, $3::bigint, $4::bytea, "
        "DATE '1970-01-01' + $5::integer, true)",
        {std::to_string(home.value()), std::to_string(partitions), std::to_string(records),
         Bytes{block}, std::to_string(last_log_day)});
    block.clear();
    records = last_log_day = 0;
  };
  for (const StoredReject* reject : admitted.rejects) {
    if (!claimed.contains({reject->partition.value(), reject->offset.value()})) {
      report_.already(reject->record_class, reject->reason, reject->tenant, 1);
      continue;
    }
    const auto headers = core::split_headers(reject->headers);
    core::append_handoff(
        {reject->partition.value(), reject->offset.value(), reject->log_time.millis(),
         request_.memory_check == MemoryCheck::kWaived ? core::Admission::kReadmittedUnchecked
                                                       : core::Admission::kReadmitted,
         reject->key, reject->value, headers.value()},
        block);
    ++records;
    last_log_day = std::max(last_log_day, reject->log_time.seconds() / core::kDaySeconds);
    report_.readmitted(*reject);
    if (block.size() >= core::kMaxHandoffBlockBytes) store();
  }
  store();
}

Result<void> Replay::page() {
  Transaction transaction = connection_.begin();
  const auto found = homes(transaction);
  if (!found) return found.error();
  if (repeats()) look_for_waiting(transaction);
  const Page page = next_page(transaction);
  done_ = page.last;
  const auto admitted = judge(page, found.value());
  if (request_.mode == ReplayMode::kDryRun) {
    for (const auto& [home, group] : admitted) {
      for (const StoredReject* reject : group.rejects) report_.readmitted(*reject);
    }
    return boost::outcome_v2::success();
  }
  if (admitted.empty()) return boost::outcome_v2::success();
  const std::set<Place> claimed = claim(transaction, admitted);
  for (const auto& [home, group] : admitted)
    hand_over(transaction, home, group, claimed, found.value().remembered_since.size());
  transaction.commit();
  return boost::outcome_v2::success();
}

void Replay::note_already() {
  const Rows rows = connection_.exec("SELECT r.class, r.reason, coalesce(r.tenant, ''), count(*)" +
                                         std::string(kMatches) + " AND " + replayed_before() +
                                         " GROUP BY 1, 2, 3",
                                     filters());
  for (std::size_t i = 0; i < rows.size(); ++i)
    report_.already(rows.text(i, 0), rows.text(i, 1), rows.text(i, 2), rows.int64(i, 3));
}

void Replay::note_not_kept() {
  const Rows rows = connection_.exec(
      "SELECT partition, first_offset, last_offset, rows FROM tally.reject_overflow "
      "WHERE topic = (SELECT topic FROM tally.deployment) ORDER BY partition, first_offset");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    report_.not_kept(PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))),
                     core::Offset(rows.int64(i, 1)), core::Offset(rows.int64(i, 2)),
                     rows.int64(i, 3));
  }
}

Result<void> Replay::run(std::ostream& out) {
  note_already();
  note_not_kept();
  while (!done_ && !at_limit()) {
    if (auto done = page(); !done) return done;
  }
  using Outcome = ReplayReport::Outcome;
  const bool applied = request_.mode == ReplayMode::kApply;
  report_.print(request_.format,
                done_ ? (applied ? Outcome::kApplied : Outcome::kDryRun)
                      : (applied ? Outcome::kAppliedToLimit : Outcome::kDryRunToLimit),
                out);
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> replay_rejects(Connection& connection, const ReplayRequest& request,
                            std::ostream& out) {
  const std::string& wanted = request.record_class;
  if (!wanted.empty() && wanted != "late" && wanted != "rejected") {
    return core::invalid(fmt::format(
        "class {} cannot be replayed: a conflict was counted with other values, and a meter's "
        "reject belongs to a counted record; use late or rejected",
        wanted));
  }
  return Replay(connection, request).run(out);
}

}  // namespace tally::admin
