#include "admin/replay_report.h"

#include "admin/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tally::admin {
namespace {

constexpr std::size_t kMaxRefusalsKept = 100'000;
constexpr std::size_t kMaxTableLines = 50;

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }
std::string or_null(const std::string& text) { return text.empty() ? "null" : json_string(text); }

void print_more(std::size_t lines, std::string_view what, std::ostream& out) {
  if (lines > kMaxTableLines)
    out << fmt::format("… and {} more {}: --json shows all\n", lines - kMaxTableLines, what);
}

std::string still_waiting(std::int64_t records) {
  if (records == 0) return "";
  return fmt::format(", {} still waiting for their partitions since an earlier replay", records);
}

}  // namespace

void ReplayReport::already(std::string_view record_class, std::string_view reason,
                           std::string_view tenant, std::int64_t records) {
  counts_[{std::string(record_class), std::string(reason), std::string(tenant)}].already += records;
  total_.already += records;
}

void ReplayReport::readmitted(const StoredReject& reject) {
  ++counts_[{reject.record_class, reject.reason, reject.tenant}].readmitted;
  ++total_.readmitted;
}

void ReplayReport::refused(const StoredReject& reject, std::string why) {
  const Kind kind{reject.record_class, reject.reason, reject.tenant};
  ++counts_[kind].refused;
  ++total_.refused;
  if (refusals_.size() < kMaxRefusalsKept)
    refusals_.push_back({reject.partition, reject.offset, kind, std::move(why)});
}

void ReplayReport::waiting(const StoredReject& reject) {
  ++counts_[{reject.record_class, reject.reason, reject.tenant}].waiting;
  ++total_.waiting;
}

void ReplayReport::not_kept(core::PartitionId partition, core::Offset first, core::Offset last,
                            std::int64_t rows) {
  not_kept_.push_back({partition, first, last, rows});
}

void ReplayReport::print(Format format, Outcome outcome, std::ostream& out) const {
  if (format == Format::kJson) {
    print_json(outcome, out);
  } else {
    print_table(outcome, out);
  }
}

void ReplayReport::print_table(Outcome outcome, std::ostream& out) const {
  const bool applied = outcome == Outcome::kApplied || outcome == Outcome::kAppliedToLimit;
  std::vector<std::vector<std::string>> cells;
  for (const auto& [kind, counts] : counts_) {
    if (cells.size() == kMaxTableLines) break;
    cells.push_back({kind.record_class, kind.reason, or_dash(kind.tenant),
                     std::to_string(counts.readmitted), std::to_string(counts.already),
                     std::to_string(counts.refused), std::to_string(counts.waiting)});
  }
  admin::print_table(out,
                     {{"class"},
                      {"reason"},
                      {"tenant"},
                      {applied ? "readmitted" : "to readmit", Align::kRight},
                      {"already", Align::kRight},
                      {"refused", Align::kRight},
                      {"waiting", Align::kRight}},
                     cells);
  print_more(counts_.size(), "lines", out);
  if (!refusals_.empty()) {
    std::vector<std::vector<std::string>> lines;
    for (std::size_t i = 0; i < std::min(refusals_.size(), kMaxTableLines); ++i) {
      const Refusal& refusal = refusals_[i];
      lines.push_back({std::to_string(refusal.partition.value()),
                       std::to_string(refusal.offset.value()), refusal.kind.reason, refusal.why});
    }
    out << "\nRefused:\n";
    admin::print_table(
        out, {{"partition", Align::kRight}, {"offset", Align::kRight}, {"reason"}, {"why"}}, lines);
    print_more(refusals_.size(), "refused records", out);
  }
  for (const NotKept& range : not_kept_) {
    out << fmt::format(
        "Not kept: {} rejects of any kind in partition {}, offsets {} to {}, were past the budget "
        "of their commit: their bytes stand only in the log.\n",
        range.rows, range.partition.value(), range.first.value(), range.last.value());
  }
  const bool to_limit = outcome == Outcome::kAppliedToLimit || outcome == Outcome::kDryRunToLimit;
  out << fmt::format(
      "{} records {}{}; {} already replayed, {} refused{}.{}\n", total_.readmitted,
      applied ? "handed to their partitions, which count them with their next commits"
              : "would be readmitted",
      to_limit ? " (--limit reached: there may be more)" : "", total_.already, total_.refused,
      still_waiting(total_.waiting), applied ? "" : " Nothing was stored: --apply does it.");
}

void ReplayReport::print_json(Outcome outcome, std::ostream& out) const {
  const bool applied = outcome == Outcome::kApplied || outcome == Outcome::kAppliedToLimit;
  const auto counts_text = [](const Counts& counts) {
    return fmt::format(R"("readmitted":{},"already":{},"refused":{},"waiting":{})",
                       counts.readmitted, counts.already, counts.refused, counts.waiting);
  };
  for (const auto& [kind, counts] : counts_) {
    out << fmt::format(R"({{"kind":"group","class":{},"reason":{},"tenant":{},{}}})",
                       json_string(kind.record_class), json_string(kind.reason),
                       or_null(kind.tenant), counts_text(counts))
        << '\n';
  }
  for (const Refusal& refusal : refusals_) {
    out << fmt::format(R"({{"kind":"refused","partition":{},"offset":{},"class":{},)"
                       R"("reason":{},"tenant":{},"why":{}}})",
                       refusal.partition.value(), refusal.offset.value(),
                       json_string(refusal.kind.record_class), json_string(refusal.kind.reason),
                       or_null(refusal.kind.tenant), json_string(refusal.why))
        << '\n';
  }
  for (const NotKept& range : not_kept_) {
    out << fmt::format(R"({{"kind":"not_kept","partition":{},"first_offset":{},)"
                       R"("last_offset":{},"rows":{}}})",
                       range.partition.value(), range.first.value(), range.last.value(), range.rows)
        << '\n';
  }
  const bool to_limit = outcome == Outcome::kAppliedToLimit || outcome == Outcome::kDryRunToLimit;
  out << fmt::format(R"({{"kind":"total","applied":{},"limit_reached":{},{}}})", applied, to_limit,
                     counts_text(total_))
      << '\n';
}

}  // namespace tally::admin
