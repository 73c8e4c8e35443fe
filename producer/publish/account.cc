#include "producer/publish/account.h"

#include "core/json_cursor.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace tally::producer::publish {
namespace {

using runtime::terminal::grouped;

std::uint64_t per_second(const PublishAccount& account) {
  return static_cast<std::uint64_t>(static_cast<double>(account.lines) /
                                    std::max(account.spent.count(), 1e-3));
}

std::string or_null(const std::optional<std::uint64_t>& line) {
  return line ? std::to_string(*line) : "null";
}

std::string or_null(const std::string& text) {
  if (text.empty()) return "null";
  std::string json;
  core::append_json_string(text, json);
  return json;
}

std::string verdict(const PublishAccount& account) {
  if (!account.broken_by.empty()) return "broken off: " + account.broken_by;
  if (account.late_bytes > 0) {
    return fmt::format("{} bytes of files that were rotated away or emptied were not read",
                       grouped(account.late_bytes));
  }
  if (account.followed && account.stopped_before_line && account.whole()) {
    return fmt::format("followed up to line {}; every event was delivered",
                       *account.stopped_before_line);
  }
  if (account.stopped_before_line) {
    return fmt::format("stopped: line {} and what follows it were not read",
                       *account.stopped_before_line);
  }
  if (account.left_bytes > 0 && account.refused + account.failed == 0) {
    return fmt::format(
        "the last line has no line end: its {} bytes were left, for it may not be whole",
        grouped(account.left_bytes));
  }
  if (account.whole()) {
    if (account.lines == 0) return "nothing new";
    return account.not_sent == 0 ? "every line was delivered" : "every event was delivered";
  }
  return fmt::format("{} of {} lines were not delivered", grouped(account.refused + account.failed),
                     grouped(account.lines));
}

}  // namespace

void count_untold(PublishAccount& account, std::uint64_t events) {
  if (events == 0) return;
  account.failed += events;
  account.failed_by_reason["UNKNOWN"] += events;
}

std::string to_table(const PublishAccount& account) {
  std::string out;
  const auto row = [&](std::string_view name, std::uint64_t count) {
    fmt::format_to(std::back_inserter(out), "{:<24} {:>14}\n", name, grouped(count));
  };
  if (account.resumed_at_line) row("went on at line", *account.resumed_at_line);
  row("lines read", account.lines);
  row("= delivered", account.delivered);
  row("+ refused (no event)", account.refused);
  row("+ failed", account.failed);
  for (const auto& [reason, count] : account.failed_by_reason) row("    " + reason, count);
  if (account.not_sent > 0) row("+ not sent (no match)", account.not_sent);
  if (account.blank_lines > 0) row("blank lines besides", account.blank_lines);
  if (!account.kafka_problem.empty()) {
    fmt::format_to(std::back_inserter(out), "Kafka: {}\n", account.kafka_problem);
  }
  fmt::format_to(std::back_inserter(out), "{:.1f} s, {} lines/s; {}\n", account.spent.count(),
                 grouped(per_second(account)), verdict(account));
  return out;
}

std::string to_json(const PublishAccount& account) {
  std::string reasons;
  for (const auto& [reason, count] : account.failed_by_reason) {
    fmt::format_to(std::back_inserter(reasons), "{}\"{}\":{}", reasons.empty() ? "" : ",", reason,
                   count);
  }
  return fmt::format(
      R"({{"lines":{},"delivered":{},"refused":{},"failed":{},"failed_by_reason":{{{}}},)"
      R"("blank_lines":{},"delivered_bytes":{},"seconds":{:.3f},"lines_per_second":{},)"
      R"("not_sent":{},"left_bytes":{},"late_bytes":{},"broken_by":{},"kafka_problem":{},)"
      R"("resumed_at_line":{},"stopped_before_line":{}}})",
      account.lines, account.delivered, account.refused, account.failed, reasons,
      account.blank_lines, account.delivered_bytes, account.spent.count(), per_second(account),
      account.not_sent, account.left_bytes, account.late_bytes, or_null(account.broken_by),
      or_null(account.kafka_problem), or_null(account.resumed_at_line),
      or_null(account.stopped_before_line));
}

}  // namespace tally::producer::publish
