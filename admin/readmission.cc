#include "admin/readmission.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/json_cursor.h"
#include "core/limits.h"
#include "core/stored_headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace tally::admin {
namespace {

using core::HandoffHeader;
using core::Result;

// As deep as the aggregator's own reader goes in members that nobody reads.
constexpr int kEventDepth = 1024;

// As the aggregator tells Kafka's binary mode (schemas/events).
bool is_binary_mode(const std::vector<HandoffHeader>& headers) {
  bool has_specversion = false;
  for (const HandoffHeader& header : headers) {
    if (header.name == "content-type" && header.value.starts_with("application/cloudevents"))
      return false;
    if (header.name == "ce_specversion") has_specversion = true;
  }
  return has_specversion;
}

Result<std::string> checked(std::string id) {
  if (id.empty()) return core::invalid("its id is missing or empty");
  if (id.size() > core::kMaxRequestIdBytes) {
    return core::invalid(
        fmt::format("its id has {} bytes, the limit is {}", id.size(), core::kMaxRequestIdBytes));
  }
  return id;
}

// What cannot be read is rejected again, wherever it goes.
std::optional<core::Timestamp> time_of(std::string_view text) {
  const auto time = core::parse_rfc3339(text);
  if (!time) return std::nullopt;
  return time.value();
}

Result<EventHead> head_of_structured(std::string_view json) {
  if (json.empty()) return core::invalid("the record has no value");
  if (!core::valid_utf8(json)) return core::invalid("the record is not UTF-8");
  core::JsonCursor cursor(json, kEventDepth);
  std::string name;
  std::string id;
  std::string time;
  bool seen = false;
  bool good = cursor.open('{');
  while (good && cursor.more('}') && cursor.read_name(name)) {
    std::string_view ignored;
    if (name == "time" && cursor.peek() == '"') {
      good = cursor.read_string(time);
    } else if (name != "id") {
      good = cursor.read_value(ignored);
    } else if (std::exchange(seen, true)) {
      return core::invalid("its id stands twice");
    } else if (cursor.peek() != '"') {
      return core::invalid("its id is not a string");
    } else {
      good = cursor.read_string(id);
    }
  }
  if (!cursor.failed() && !cursor.at_end())
    static_cast<void>(cursor.fail("something follows the event"));
  if (cursor.failed()) {
    return core::invalid(fmt::format("the record is not a JSON object: {} at byte {}",
                                     cursor.problem(), cursor.offset()));
  }
  auto good_id = checked(std::move(id));
  if (!good_id) return good_id.error();
  return EventHead{std::move(good_id).value(), time_of(time)};
}

}  // namespace

Result<EventHead> head_of(const StoredReject& reject) {
  const auto headers = core::split_headers(reject.headers);
  if (!headers) return headers.error();
  if (!is_binary_mode(headers.value())) return head_of_structured(reject.value);
  const auto is_id = [](const HandoffHeader& header) { return header.name == "ce_id"; };
  const auto is_time = [](const HandoffHeader& header) { return header.name == "ce_time"; };
  const auto found = std::find_if(headers.value().begin(), headers.value().end(), is_id);
  if (found == headers.value().end()) return core::invalid("its header ce_id is missing");
  if (std::find_if(found + 1, headers.value().end(), is_id) != headers.value().end())
    return core::invalid("its header ce_id stands twice");
  auto id = checked(std::string(found->value));
  if (!id) return id.error();
  const auto time = std::find_if(headers.value().begin(), headers.value().end(), is_time);
  return EventHead{std::move(id).value(),
                   time == headers.value().end() ? std::nullopt : time_of(time->value)};
}

Result<core::PartitionId> home_of_readmission(const StoredReject& reject, const Homes& homes,
                                              MemoryCheck check) {
  TALLY_CHECK(!homes.remembered_since.empty());
  if (!reject.has_bytes) {
    return core::invalid(
        "its bytes are not kept: its row was removed from tally.reject while a replay of it was "
        "under way; the log has them until its retention ends: publish it again");
  }
  const auto head = head_of(reject);
  if (!head) return head.error();
  const std::size_t home = core::home_bits(head.value().id) % homes.remembered_since.size();
  if (check == MemoryCheck::kRequired && reject.reason == "older_than_memory") {
    return core::invalid(
        "its home could not tell whether a copy of it was counted before: make sure that none was "
        "(docs/operating, late and rejected records), then replay it with --again --unchecked");
  }
  const core::Timestamp since = homes.remembered_since[home];
  const core::Timestamp earliest = core::earliest_copy(head.value().time, reject.log_time);
  if (check == MemoryCheck::kRequired && earliest < since) {
    return core::invalid(fmt::format(
        "a copy of it can have been counted since {}, and partition {} remembers only since {}: "
        "make sure that none was (docs/operating, late and rejected records), then replay it with "
        "--again --unchecked",
        core::to_rfc3339(earliest), home, core::to_rfc3339(since)));
  }
  return core::PartitionId(static_cast<std::int32_t>(home));
}

}  // namespace tally::admin
