#include "producer/load/account.h"

#include "core/check.h"
#include "core/json_cursor.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

namespace tally::producer::load {
namespace {

using runtime::terminal::grouped;
using std::chrono::microseconds;

// A tenth of a second behind the timetable is no jitter of this machine any more.
constexpr microseconds kLate{100'000};
constexpr std::uint64_t kMicrosPerSecond = 1'000'000;

struct Percentile {
  std::string_view name;
  std::uint64_t thousandths;
};
constexpr std::array kPercentiles = {Percentile{"p50", 500}, Percentile{"p90", 900},
                                     Percentile{"p99", 990}, Percentile{"p99.9", 999}};

std::uint64_t sum(const LoadAccount::Reasons& reasons) {
  std::uint64_t all = 0;
  for (const auto& [reason, events] : reasons) all += events;
  return all;
}

std::uint64_t acked_per_second(const LoadAccount& account) {
  const auto micros = static_cast<std::uint64_t>(std::max(account.spent, microseconds(1)).count());
  return account.acked * kMicrosPerSecond / micros;
}

std::string verdict(const LoadAccount& account) {
  if (account.acked < account.due) {
    return fmt::format("{} of {} events were not acked", grouped(account.due - account.acked),
                       grouped(account.due));
  }
  return account.problem.empty() ? "every event was acked" : "every event due until then was acked";
}

std::string reasons_json(const LoadAccount::Reasons& reasons) {
  std::string out = "{";
  for (const auto& [reason, events] : reasons) {
    if (out.size() > 1) out += ',';
    core::append_json_string(reason, out);
    fmt::format_to(std::back_inserter(out), ":{}", events);
  }
  return out + "}";
}

std::string latency_json(const LatencyHistogram& latency) {
  if (latency.count() == 0) return "null";
  std::string out = "{";
  for (const auto& [name, thousandths] : kPercentiles) {
    fmt::format_to(std::back_inserter(out), "\"{}\":{},", name, latency.at(thousandths).count());
  }
  return out + fmt::format("\"max\":{}}}", latency.max().count());
}

}  // namespace

std::string in_ms(microseconds time) {
  return fmt::format("{}.{:02}", grouped(static_cast<std::uint64_t>(time.count() / 1'000)),
                     time.count() % 1'000 / 10);
}

void LoadAccount::count(End end, const std::string& reason, std::uint64_t events) {
  switch (end) {
    case End::kNotSent:
      not_sent += events;
      not_sent_by_reason[reason] += events;
      return;
    case End::kRefused:
      refused += events;
      refused_by_reason[reason] += events;
      return;
    case End::kLost:
      lost += events;
      lost_by_reason[reason] += events;
      return;
    case End::kUnanswered:
      unanswered += events;
      return;
    case End::kAcked:
      break;
  }
  TALLY_CHECK(false, "an acked event has a latency and no reason");
}

bool LoadAccount::kept_the_rate() const { return most_late <= kLate; }

void LoadAccount::check() const {
  TALLY_CHECK(due == sent + not_sent, "due {} sent {} not sent {}", due, sent, not_sent);
  TALLY_CHECK(sent == acked + refused + lost + unanswered,
              "sent {} acked {} refused {} lost {} unanswered {}", sent, acked, refused, lost,
              unanswered);
  TALLY_CHECK(acked == latency.count(), "acked {} latencies {}", acked, latency.count());
  TALLY_CHECK(sum(not_sent_by_reason) == not_sent && sum(refused_by_reason) == refused &&
              sum(lost_by_reason) == lost);
}

std::string to_table(const LoadAccount& account) {
  std::string out;
  const auto line = [&out](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(out), "{:<40} {:>14}\n", name, value);
  };
  const auto row = [&line](std::string_view name, std::uint64_t events) {
    line(name, grouped(events));
  };
  const auto by_reason = [&row](const LoadAccount::Reasons& reasons) {
    for (const auto& [reason, events] : reasons) row("    " + reason, events);
  };
  row("due", account.due);
  row("= sent", account.sent);
  row("+ not sent", account.not_sent);
  by_reason(account.not_sent_by_reason);
  row("sent", account.sent);
  row("= acked", account.acked);
  row("+ refused", account.refused);
  by_reason(account.refused_by_reason);
  row("+ lost", account.lost);
  by_reason(account.lost_by_reason);
  row("+ unanswered", account.unanswered);
  row("copies of earlier events, of those due", account.copies);
  row("sent again", account.sent_again);
  row("answers that told to wait", account.told_to_wait);
  row("most events behind the timetable", account.most_behind);
  if (account.latency.count() > 0) {
    line("from due to acked", "ms");
    for (const auto& [name, thousandths] : kPercentiles) {
      line(fmt::format("    {}", name), in_ms(account.latency.at(thousandths)));
    }
    line("    max", in_ms(account.latency.max()));
  }
  if (!account.complaint.empty()) out += account.complaint + "\n";
  if (!account.kept_the_rate()) {
    fmt::format_to(std::back_inserter(out),
                   "the rate of {}/s was not kept: up to {} events were behind the timetable, the "
                   "first of them {} ms; the latencies of those that were acked hold that wait\n",
                   grouped(account.rate), grouped(account.most_behind), in_ms(account.most_late));
  }
  if (!account.problem.empty()) out += account.problem + "\n";
  fmt::format_to(std::back_inserter(out), "seed {}; {}.{} s, {} acked/s; {}\n", account.seed,
                 account.spent.count() / 1'000'000, account.spent.count() / 100'000 % 10,
                 grouped(acked_per_second(account)), verdict(account));
  return out;
}

std::string to_json(const LoadAccount& account) {
  std::string problem;
  core::append_json_string(account.problem, problem);
  std::string complaint;
  core::append_json_string(account.complaint, complaint);
  return fmt::format(
      R"({{"due":{},"sent":{},"not_sent":{},"not_sent_by_reason":{},"acked":{},"refused":{},)"
      R"("refused_by_reason":{},"lost":{},"lost_by_reason":{},"unanswered":{},"copies":{},)"
      R"("sent_again":{},"told_to_wait":{},"most_behind":{},"most_late_us":{},"kept_the_rate":{},)"
      R"("latency_us":{},"seed":{},"rate":{},"spent_us":{},"acked_per_second":{},"problem":{},)"
      R"("complaint":{}}})",
      account.due, account.sent, account.not_sent, reasons_json(account.not_sent_by_reason),
      account.acked, account.refused, reasons_json(account.refused_by_reason), account.lost,
      reasons_json(account.lost_by_reason), account.unanswered, account.copies, account.sent_again,
      account.told_to_wait, account.most_behind, account.most_late.count(), account.kept_the_rate(),
      latency_json(account.latency), account.seed, account.rate, account.spent.count(),
      acked_per_second(account), problem, complaint);
}

}  // namespace tally::producer::load
