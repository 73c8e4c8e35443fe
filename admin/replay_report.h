// What a replay did, for a terminal or as JSON lines.
#pragma once

#include "admin/readmission.h"
#include "admin/rejects.h"

#include <compare>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tally::admin {

class ReplayReport {
 public:
  // Records that match and were replayed by an earlier run.
  void already(std::string_view record_class, std::string_view reason, std::string_view tenant,
               std::int64_t records);
  void readmitted(const StoredReject& reject);
  void refused(const StoredReject& reject, std::string why);
  // Replayed by an earlier run, and not judged yet.
  void waiting(const StoredReject& reject);
  // Past a commit's budget rejects are only counted: their bytes stand in the log alone.
  void not_kept(core::PartitionId partition, core::Offset first, core::Offset last,
                std::int64_t rows);

  [[nodiscard]] std::int64_t readmitted() const { return total_.readmitted; }

  enum class Outcome { kDryRun, kApplied, kAppliedToLimit, kDryRunToLimit };
  void print(Format format, Outcome outcome, std::ostream& out) const;

 private:
  struct Counts {
    std::int64_t readmitted = 0;
    std::int64_t already = 0;
    std::int64_t refused = 0;
    std::int64_t waiting = 0;
  };
  struct Kind {
    std::string record_class;
    std::string reason;
    std::string tenant;
    friend auto operator<=>(const Kind&, const Kind&) = default;
  };
  struct Refusal {
    core::PartitionId partition;
    core::Offset offset;
    Kind kind;
    std::string why;
  };
  struct NotKept {
    core::PartitionId partition;
    core::Offset first;
    core::Offset last;
    std::int64_t rows = 0;
  };
  void print_table(Outcome outcome, std::ostream& out) const;
  void print_json(Outcome outcome, std::ostream& out) const;

  std::map<Kind, Counts> counts_;
  Counts total_;
  std::vector<Refusal> refusals_;  // the first of them
  std::vector<NotKept> not_kept_;
};

}  // namespace tally::admin
