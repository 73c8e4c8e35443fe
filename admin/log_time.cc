#include "admin/log_time.h"

#include "admin/catalogue_store.h"
#include "admin/table.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::Result;
using core::Timestamp;
using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;

struct Ceiling {
  std::int64_t before_offset = 0;
  Timestamp time;
};

// What the database knows of the partition. No commit can move it while the catalogue is locked.
struct Standing {
  std::int64_t next_offset = 0;
  std::optional<Timestamp> clock;  // nullopt: it has seen no record
  Timestamp now;                   // by the database
  std::optional<Ceiling> set;      // for records that are not committed yet
};

std::optional<Timestamp> time_at(const Rows& rows, std::size_t column) {
  if (rows.is_null(0, column)) return std::nullopt;
  return Timestamp::from_micros(rows.int64(0, column));
}

Result<Standing> read_standing(Transaction& transaction, core::PartitionId partition) {
  const Rows row = transaction.exec(
      "SELECT s.next_offset, (extract(epoch FROM s.last_log_time) * 1000000)::bigint, "
      "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, "
      "c.before_offset, (extract(epoch FROM c.ceiling) * 1000000)::bigint "
      "FROM tally.partition_state s LEFT JOIN tally.log_time_ceiling c "
      "ON c.partition = s.partition AND c.from_offset <= s.next_offset "
      "AND c.before_offset > s.next_offset WHERE s.partition = $1::integer",
      {std::to_string(partition.value())});
  if (row.size() == 0) {
    const auto known = transaction.exec("SELECT count(*) FROM tally.partition_state").int64(0, 0);
    return Error{ErrorKind::kNotFound,
                 fmt::format("partition {} is unknown: no aggregator that uses this database has "
                             "acquired it; {} partitions are known, counted from 0",
                             partition.value(), known)};
  }
  Standing standing{row.int64(0, 0), time_at(row, 1), *time_at(row, 2), std::nullopt};
  if (!row.is_null(0, 3)) standing.set = Ceiling{row.int64(0, 3), *time_at(row, 4)};
  return standing;
}

// A record that was stamped before would be late behind one that counts as of the ceiling: the
// dedup memory has a day to spare (docs/decisions/0008-handoff-and-growth.md).
Timestamp first_judged(Timestamp ceiling) {
  return Timestamp::from_seconds((ceiling.micros() / 1'000'000 / core::kDaySeconds - 1) *
                                 core::kDaySeconds);
}

bool may_make_late(const Standing& standing, Timestamp ceiling) {
  return !standing.clock || *standing.clock < first_judged(ceiling);
}

// What the request asks for, or why it cannot be had.
Result<Ceiling> ceiling_of(const LogTimeRequest& request, const Standing& standing) {
  const std::int64_t before_offset = request.before_offset.value();
  if (before_offset <= standing.next_offset) {
    return Error{
        ErrorKind::kConflict,
        fmt::format("partition {}: everything below offset {} is committed and stays as it "
                    "was decided; --before-offset {} is not beyond it",
                    request.partition.value(), standing.next_offset, before_offset)};
  }
  if (before_offset > standing.next_offset + core::kMaxCeilingRecords) {
    return Error{ErrorKind::kConflict,
                 fmt::format("partition {}: --before-offset {} is {} records beyond what is "
                             "committed, the limit is {}: every one of them would count as of "
                             "the ceiling at the latest; give the offset behind the last record "
                             "of the wrong clock",
                             request.partition.value(), before_offset,
                             before_offset - standing.next_offset, core::kMaxCeilingRecords)};
  }
  // A partition's clock may be ahead of the database's by what the fence lets in.
  const Timestamp latest = std::max(standing.now, standing.clock.value_or(standing.now));
  Timestamp time = request.ceiling.value_or(latest);
  const bool again = standing.set && standing.set->before_offset == before_offset;
  if (!request.ceiling && again) time = standing.set->time;
  if (!request.ceiling && !again && may_make_late(standing, time)) {
    return Error{
        ErrorKind::kConflict,
        fmt::format("partition {}: what waits may be days old, and what the broker stamped "
                    "rightly before {} would be late (older_than_memory) behind records "
                    "that count as of now: give the moment at which the broker's clock "
                    "was right again, with --ceiling",
                    request.partition.value(), core::to_rfc3339(first_judged(time)))};
  }
  if (!core::is_event_time(time))
    return core::invalid(fmt::format("--ceiling {}", core::kNoEventTime));
  if (time > latest) {
    return Error{ErrorKind::kConflict,
                 fmt::format("--ceiling {} is ahead of the database's clock, {}: give a time that "
                             "has passed",
                             core::to_rfc3339(time), core::to_rfc3339(latest))};
  }
  if (standing.clock && time < *standing.clock) {
    return Error{ErrorKind::kConflict,
                 fmt::format("--ceiling {} is behind the clock of partition {}, {}, which never "
                             "steps back: give that time or a later one",
                             core::to_rfc3339(time), request.partition.value(),
                             core::to_rfc3339(*standing.clock))};
  }
  return Ceiling{before_offset, Timestamp::from_millis(time.millis())};
}

void describe(const LogTimeRequest& request, const Standing& standing, const Ceiling& ceiling,
              std::ostream& out) {
  out << fmt::format(
      "partition {}: of the records from offset {} to {}, {} at most, what the broker stamped "
      "later "
      "than {} counts as stamped then.\n",
      request.partition.value(), standing.next_offset, ceiling.before_offset - 1,
      ceiling.before_offset - standing.next_offset, core::to_rfc3339(ceiling.time));
  if (standing.set) {
    out << fmt::format("Until now that was {}, for those before offset {}.\n",
                       core::to_rfc3339(standing.set->time), standing.set->before_offset);
  }
  if (may_make_late(standing, ceiling.time)) {
    out << fmt::format(
        "A record behind them that the broker stamped rightly, but before {}, will be late "
        "(older_than_memory).\n",
        core::to_rfc3339(first_judged(ceiling.time)));
  }
}

void store(const LogTimeRequest& request, const Ceiling& ceiling, Transaction& transaction) {
  transaction.exec("SELECT tally.set_log_time_ceiling($1::integer, $2::bigint, $3::timestamptz)",
                   {std::to_string(request.partition.value()),
                    std::to_string(ceiling.before_offset), core::to_rfc3339(ceiling.time)});
  transaction.exec("UPDATE tally.catalogue_version SET version = version + 1, changed_at = now()");
}

}  // namespace

Result<void> set_log_time(Connection& connection, const LogTimeRequest& request,
                          std::ostream& out) {
  const bool apply = request.mode == LogTimeMode::kApply;
  try {
    Transaction transaction = connection.begin();
    if (apply) lock_catalogue(transaction);
    const auto standing = read_standing(transaction, request.partition);
    if (!standing) return standing.error();
    const auto ceiling = ceiling_of(request, standing.value());
    if (!ceiling) return ceiling.error();
    const std::optional<Ceiling>& set = standing.value().set;
    if (set && set->before_offset == ceiling.value().before_offset &&
        set->time == ceiling.value().time) {
      out << fmt::format("Nothing to change: the ceiling is {} before offset {} already.\n",
                         core::to_rfc3339(set->time), set->before_offset);
      return boost::outcome_v2::success();
    }
    describe(request, standing.value(), ceiling.value(), out);
    if (!apply) {
      out << "Dry run: nothing was changed; --apply does it.\n";
      return boost::outcome_v2::success();
    }
    store(request, ceiling.value(), transaction);
    transaction.commit();
  } catch (const StatementFailed& error) {
    if (error.sqlstate() != "55P03") throw;
    return Error{
        ErrorKind::kUnavailable,
        "the catalogue stayed locked for 30 s by another transaction; nothing was changed: "
        "run it again"};
  }
  out << "Changed. Aggregators that run take it up by themselves.\n";
  return boost::outcome_v2::success();
}

void list_log_time(Connection& connection, Format format, std::ostream& out) {
  const Rows rows = connection.exec(
      "SELECT c.partition, c.from_offset, c.before_offset, "
      "to_char(c.ceiling, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
      "to_char(c.requested_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
      "greatest(c.before_offset - s.next_offset, 0) "
      "FROM tally.log_time_ceiling c JOIN tally.partition_state s USING (partition) "
      "ORDER BY c.partition, c.from_offset");
  if (format == Format::kJson) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out << fmt::format(R"({{"partition":{},"from_offset":{},"before_offset":{},"ceiling":"{}",)"
                         R"("requested_at":"{}","uncommitted":{}}})"
                         "\n",
                         rows.text(i, 0), rows.text(i, 1), rows.text(i, 2), rows.text(i, 3),
                         rows.text(i, 4), rows.text(i, 5));
    }
    return;
  }
  std::vector<std::vector<std::string>> cells;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    cells.emplace_back();
    for (std::size_t column = 0; column < 6; ++column)
      cells.back().emplace_back(rows.text(i, column));
  }
  print_table(out,
              {{"partition", Align::kRight},
               {"from offset", Align::kRight},
               {"before offset", Align::kRight},
               {"ceiling"},
               {"requested at"},
               {"uncommitted", Align::kRight}},
              cells);
}

}  // namespace tally::admin
