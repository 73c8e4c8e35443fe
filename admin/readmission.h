// Whether a record that was not counted may be given to the aggregator again, and to which
// partition. Pure: rejects and topology in, verdict out.
#pragma once

#include "core/ids.h"
#include "core/result.h"
#include "core/timestamp.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tally::admin {

// A row of tally.reject that stands for a whole record.
struct StoredReject {
  core::PartitionId partition;
  core::Offset offset;
  core::Timestamp log_time;
  std::string record_class;
  std::string reason;
  std::string tenant;  // empty: could not be read
  std::string key;
  std::string value;
  std::string headers;    // core/stored_headers.h
  bool has_bytes = true;  // false: only the verdict of a replay stands there
};

// What of the deployment a verdict depends on.
struct Homes {
  // By partition: what was counted by the log's clock from this moment on is remembered there.
  std::vector<core::Timestamp> remembered_since;
};

enum class MemoryCheck { kRequired, kWaived };

// The partition that would remember the record's identity. An error says for a person why the
// record cannot be readmitted: no id can be read, or (unless waived) a copy of it can have come
// before what its home remembers, so that nobody can tell whether the identity was counted already.
[[nodiscard]] core::Result<core::PartitionId> home_of_readmission(const StoredReject& reject,
                                                                  const Homes& homes,
                                                                  MemoryCheck check);

struct EventHead {
  std::string id;
  std::optional<core::Timestamp> time;  // nullopt: none, or none that can be read
};

// Of a structured event, or of the headers of Kafka's binary mode. An error: it has no good id.
[[nodiscard]] core::Result<EventHead> head_of(const StoredReject& reject);

}  // namespace tally::admin
