#include "aggregator/acquire.h"

#include "aggregator/stored_memory.h"
#include "core/check.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using dedup::SegmentToken;
using runtime::postgres::Params;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// What one FETCH brings: enough to hide the round trip, little beside the memory itself.
constexpr std::int64_t kFetchEntries = 512 * 1024;
constexpr std::int64_t kFetchRows = 4096;

SegmentToken token_from(std::string_view text) {
  const auto token = SegmentToken::from_uuid_text(text);
  TALLY_CHECK(token.has_value(), "'{}' is no token", text);
  return *token;
}

// "{uuid,uuid}"
std::vector<SegmentToken> tokens_from(std::string_view text) {
  std::vector<SegmentToken> tokens;
  if (text.size() <= 2) return tokens;
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    tokens.push_back(token_from(text.substr(0, comma)));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return tokens;
}

// may_hold() and first_day() as a condition on the rows of either table.
std::string condition(const AcquireRequest& request, std::optional<LogDay> first_day) {
  std::string text = fmt::format("partition % gcd(partitions, {0}) = {1} % gcd(partitions, {0})",
                                 request.partitions, request.partition.value());
  if (first_day) text += fmt::format(" AND log_day >= DATE '1970-01-01' + {}", *first_day);
  return text;
}

std::vector<StoredRow> list_rows(const AcquireRequest& request, const std::string& where,
                                 Transaction& transaction) {
  // Only a local run is asked about tokens that were replaced.
  const bool with_runs = !request.memory.cache_folder.empty();
  const Rows rows = transaction.exec(
      fmt::format("SELECT token, log_day - DATE '1970-01-01', partitions, entry_count, NULL, "
                  "partition = {2} FROM tally.dedup_segment WHERE {0} UNION ALL "
                  "SELECT token, log_day - DATE '1970-01-01', partitions, entry_count, {1}, "
                  "false FROM tally.dedup_rollup WHERE {0}",
                  where, with_runs ? "replaces" : "NULL", request.partition.value()));
  std::vector<StoredRow> list(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    list[i].token = token_from(rows.text(i, 0));
    list[i].day = static_cast<LogDay>(rows.int64(i, 1));
    list[i].partitions = static_cast<std::int32_t>(rows.int64(i, 2));
    list[i].entry_count = rows.int64(i, 3);
    if (!rows.is_null(i, 4)) list[i].replaces = tokens_from(rows.text(i, 4));
    list[i].own_segment = rows.boolean(i, 5);
  }
  return list;
}

// How many rows from `at` on one FETCH takes.
std::size_t fetch_size(const std::vector<StoredRow>& rows, std::size_t at) {
  std::int64_t entries = 0;
  std::size_t size = 0;
  while (at + size < rows.size() && size < kFetchRows) {
    entries += rows[at + size].entry_count;
    if (size > 0 && entries > kFetchEntries) break;
    ++size;
  }
  return size;
}

// A binary cursor: the entries come as they are, not as twice as many hex digits.
void load_rows(const MemoryLoad& load, const std::string& where, dedup::Memory& memory,
               Transaction& transaction) {
  if (load.needed().empty()) return;
  std::string tokens;
  for (const StoredRow& row : load.needed()) {
    tokens += (tokens.empty() ? "" : ",") + row.token.to_uuid_text();
  }
  transaction.exec(fmt::format(
      "DECLARE memory BINARY NO SCROLL CURSOR FOR SELECT token, entries FROM ("
      "SELECT log_day, token, entries FROM tally.dedup_segment WHERE {0} AND token = ANY ({1}) "
      "UNION ALL "
      "SELECT log_day, token, entries FROM tally.dedup_rollup WHERE {0} AND token = ANY ({1})) r "
      "ORDER BY log_day, token",
      where, "'{" + tokens + "}'::uuid[]"));
  const auto& needed = load.needed();
  for (std::size_t at = 0; at < needed.size();) {
    const std::size_t size = fetch_size(needed, at);
    const Rows rows = transaction.exec(fmt::format("FETCH {} FROM memory", size));
    TALLY_CHECK(rows.size() == size, "{} stored rows of dedup memory, listed were {}",
                at + rows.size(), needed.size());
    for (std::size_t i = 0; i < size; ++i, ++at) {
      TALLY_CHECK(rows.text(i, 0) ==
                      std::string_view(reinterpret_cast<const char*>(needed[at].token.bytes.data()),
                                       needed[at].token.bytes.size()),
                  "row {} is another one than listed", at);
      load.add(needed[at], rows.text(i, 1), memory);
    }
  }
  transaction.exec("CLOSE memory");
}

std::optional<LogTimeCeiling> load_ceiling(core::PartitionId partition, core::Offset position,
                                           Transaction& transaction) {
  const Rows row = transaction.exec(
      "SELECT before_offset, (extract(epoch FROM ceiling) * 1000000)::bigint "
      "FROM tally.log_time_ceiling WHERE partition = $1::integer "
      "AND from_offset <= $2::bigint AND before_offset > $2::bigint",
      {std::to_string(partition.value()), std::to_string(position.value())});
  if (row.size() == 0) return std::nullopt;
  return LogTimeCeiling{core::Offset(row.int64(0, 0)),
                        core::Timestamp::from_micros(row.int64(0, 1))};
}

}  // namespace

std::optional<LogDay> slowest_day_in(const Rows& answer) {
  if (answer.is_null(0, 0)) return std::nullopt;
  return static_cast<LogDay>(answer.int64(0, 0));
}

void ensure_partition(const AcquireRequest& request, runtime::postgres::Connection& database) {
  // FOR SHARE: a growth, which locks the deployment's row, either sees this row or is seen by it.
  database.exec(
      "INSERT INTO tally.partition_state (partition, generation, base_offset, next_offset) "
      "SELECT $1::integer, d.generation, $2::bigint, $2::bigint FROM tally.deployment d "
      "WHERE d.generation = $3::bigint AND NOT EXISTS (SELECT FROM tally.partition_state "
      "WHERE partition = $1::integer) FOR SHARE OF d ON CONFLICT DO NOTHING",
      {std::to_string(request.partition.value()), std::to_string(request.log_start.value()),
       std::to_string(request.generation.value())});
}

std::unique_ptr<PartitionState> load_partition(const AcquireRequest& request,
                                               const StoreObserver& observe,
                                               Transaction& transaction) {
  // Before the snapshot: no day that the snapshot says is there can be dropped while it is read.
  transaction.exec("LOCK TABLE tally.dedup_rollup, tally.dedup_segment IN ACCESS SHARE MODE");
  const Rows row = transaction.exec(
      "UPDATE tally.partition_state SET epoch = epoch + 1, owner = $2, updated_at = now() "
      "WHERE partition = $1::integer AND generation = $3::bigint RETURNING epoch, generation, "
      "next_offset, last_offset, last_digest, (extract(epoch FROM last_log_time) * "
      "1000000)::bigint",
      {std::to_string(request.partition.value()), request.owner,
       std::to_string(request.generation.value())});
  if (row.size() == 0) return nullptr;
  observe(StoreStep::kEpochRaised);
  std::optional<core::Timestamp> clock;
  if (!row.is_null(0, 5)) clock = core::Timestamp::from_micros(row.int64(0, 5));
  const auto slowest_day = slowest_day_in(transaction.exec(kSlowestDay));
  const std::string where = condition(request, MemoryLoad::first_day(request, clock, slowest_day));
  MemoryLoad load(request, clock, slowest_day, list_rows(request, where, transaction));
  observe(StoreStep::kMemoryListed);
  auto state = std::make_unique<PartitionState>(request.partition, load.settings());
  state->epoch = core::Epoch(row.int64(0, 0));
  state->generation = core::Generation(row.int64(0, 1));
  state->position = core::Offset(row.int64(0, 2));
  if (!row.is_null(0, 3)) {
    state->last_offset = core::Offset(row.int64(0, 3));
    const std::string digest = row.bytes(0, 4);
    TALLY_CHECK(digest.size() == sizeof(RecordDigest));
    state->last_digest.emplace();
    std::memcpy(state->last_digest->data(), digest.data(), digest.size());
  }
  if (clock) state->last_log_time = *clock;
  state->slowest_day = slowest_day.value_or(0);
  state->stored_segments = load.own_segments();
  const Rows dropped = transaction.exec(
      "SELECT dropped_before - DATE '1970-01-01' FROM tally.deployment "
      "WHERE dropped_before IS NOT NULL");
  state->dropped_before = load.cut_before();
  if (dropped.size() != 0) {
    const auto day = static_cast<LogDay>(dropped.int64(0, 0));
    state->dropped_before = std::max(state->dropped_before.value_or(day), day);
  }
  state->log_time_ceiling = load_ceiling(request.partition, state->position, transaction);
  load.begin(state->memory);
  load_rows(load, where, state->memory, transaction);
  state->memory.loaded();
  observe(StoreStep::kMemoryLoaded);
  return state;
}

}  // namespace tally::aggregator
