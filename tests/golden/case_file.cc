#include "tests/golden/case_file.h"

#include "core/timestamp.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace tally::golden {

namespace {

constexpr std::array<std::string_view, 8> kFates = {"counted",  "duplicate", "conflict", "late",
                                                    "rejected", "unmetered", "filtered", "skipped"};
constexpr std::array<std::string_view, 3> kSpans = {"day", "month", "period"};
constexpr std::int64_t kMicros = 1'000'000;
constexpr std::int64_t kAnyDaySeconds = 1'795'219'200;  // 2026-11-21

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// The first word; `text` keeps what follows it.
std::string_view take_word(std::string_view& text) {
  text = trimmed(text);
  const std::string_view word = text.substr(0, text.find(' '));
  text = trimmed(text.substr(word.size()));
  return word;
}

class Parser {
 public:
  Parser(const std::string& file_name, std::optional<std::int64_t> day_seconds)
      : file_name_(file_name), day_is_told_(day_seconds.has_value()) {
    case_.day_seconds = day_seconds.value_or(kAnyDaySeconds);
  }

  GoldenCase parse(std::string_view text) {
    const std::size_t slash = file_name_.rfind('/');
    case_.name = slash == std::string::npos ? file_name_ : file_name_.substr(slash + 1);
    case_.name = case_.name.substr(0, case_.name.rfind(".txt"));
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      ++line_;
      read_line(line);
    }
    check_whole();
    return std::move(case_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw BadCase(fmt::format("{}:{}: {}", file_name_, line_, what));
  }

  void read_line(std::string_view line) {
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#') return;
    if (line.front() != ' ') {
      section_ = content;
    } else if (section_ == "catalogue") {
      case_.catalogue.append(content).push_back('\n');
    } else if (section_ == "records") {
      read_record(content);
    } else if (section_ == "first_day") {
      read_first_day(content);
    } else if (section_ == "periods") {
      read_period(content);
    } else if (section_ == "admitted") {
      read_admitted(content);
    } else if (section_ == "windows" || section_ == "spans") {
      read_total(content);
    } else if (section_ == "classes") {
      read_classes(content);
    } else if (section_ == "rejects") {
      read_reject(content);
    } else {
      fail(
          fmt::format("`{}` is none of first_day, catalogue, periods, admitted, records, windows, "
                      "spans, classes, rejects",
                      section_));
    }
  }

  std::int64_t number(std::string_view text) const {
    std::int64_t value = 0;
    const auto end = text.data() + text.size();
    if (text.empty() || std::from_chars(text.data(), end, value).ptr != end)
      fail(fmt::format("`{}` is not a number", text));
    return value;
  }

  // "08:00", "08:00:01.5", "35+08:00:01" (days later), "-1+08:00": microseconds since 1970.
  std::int64_t moment(std::string_view text) const {
    std::int64_t seconds = case_.day_seconds;
    if (const auto plus = text.find('+'); plus != std::string_view::npos) {
      seconds += number(text.substr(0, plus)) * 86'400;
      text.remove_prefix(plus + 1);
    }
    const std::string whole = fmt::format("1970-01-01T{}{}Z", text, text.size() == 5 ? ":00" : "");
    const auto time = core::parse_rfc3339(whole);
    if (!time) fail(fmt::format("`{}` is no time of day", text));
    return seconds * kMicros + time.value().micros();
  }

  std::int64_t second_of(std::string_view text) const { return moment(text) / kMicros; }

  // "2026-10-25 a last Sunday of October": the day that a run without another takes, and which
  // others the books hold for.
  void read_first_day(std::string_view text) {
    const auto midnight = core::parse_rfc3339(fmt::format("{}T00:00:00Z", take_word(text)));
    if (!midnight || text.empty()) fail("a first day: a date, then on which days the books hold");
    if (!case_.catalogue.empty() || !case_.records.empty()) fail("the first day stands first");
    if (!day_is_told_) case_.day_seconds = midnight.value().seconds();
    case_.first_day_rule = text;
  }

  void read_period(std::string_view text) {
    const std::string tenant(take_word(text));
    const std::int64_t start = second_of(take_word(text));
    const std::int64_t end = second_of(take_word(text));
    if (!text.empty() || start >= end) fail("a period: tenant, start, end");
    case_.periods.push_back({tenant, start, end});
  }

  void read_admitted(std::string_view text) {
    const std::string tenant(take_word(text));
    const std::string meter(take_word(text));
    const std::int64_t month = second_of(take_word(text));
    if (!text.starts_with('{')) fail("an admitted combination: tenant, meter, month, dimensions");
    case_.admitted.push_back({tenant, meter, month, std::string(text)});
  }

  // As the event says it; empty: the event has no time.
  std::string event_time(std::string_view text) {
    const bool in_full = text.find('T') != std::string_view::npos;
    case_.fixed_clock = case_.fixed_clock || text == "-" || in_full;
    if (text == "-") return {};
    if (in_full) return std::string(text);
    return core::to_rfc3339(core::Timestamp::from_micros(moment(text)));
  }

  Fate fate(std::string_view text) const {
    for (std::size_t i = 0; i < kFates.size(); ++i) {
      if (kFates.at(i) == text) return static_cast<Fate>(i);
    }
    fail(fmt::format("`{}` is no fate of a record", text));
  }

  struct Marks {
    bool raw = false;
    bool binary = false;
    std::string_view source = "/svc";
  };

  void read_mark(std::string_view mark, GoldenRecord& record, Marks& marks) const {
    if (mark == "@aborted") {
      record.delivery = Delivery::kAborted;
    } else if (mark == "@committed") {
      record.delivery = Delivery::kCommitted;
    } else if (mark == "@gap") {
      record.delivery = Delivery::kGap;
    } else if (mark == "@foreign") {
      record.foreign = true;
    } else if (mark == "@raw") {
      marks.raw = true;
    } else if (mark == "@binary") {
      marks.binary = true;
    } else if (mark.starts_with("@source=")) {
      marks.source = mark.substr(8);
    } else {
      fail(fmt::format("`{}` is no mark", mark));
    }
  }

  void read_record(std::string_view text) {
    GoldenRecord record;
    record.line = line_;
    record.fate = fate(take_word(text));
    record.log_time_ms = moment(take_word(text)) / 1000;
    const std::string time = event_time(take_word(text));
    const std::string_view tenant = take_word(text);
    const std::string_view type = take_word(text);
    record.key = take_word(text);
    Marks marks;
    while (text.starts_with('@')) read_mark(take_word(text), record, marks);
    if (record.key.empty()) fail("a record: fate, log time, event time, tenant, type, id, data");
    record.identity = marks.raw || record.delivery == Delivery::kGap
                          ? fmt::format("line {}", line_)
                          : fmt::format("{} {} {} {}", tenant, marks.source, type, record.key);
    if (marks.raw) {
      record.value = text;
    } else if (marks.binary) {
      record.value = text;
      record.headers = {{"ce_specversion", "1.0"},
                        {"ce_id", record.key},
                        {"ce_source", std::string(marks.source)},
                        {"ce_type", std::string(type)},
                        {"ce_subject", std::string(tenant)}};
      if (!time.empty()) record.headers.emplace_back("ce_time", time);
    } else {
      record.value = fmt::format(R"({{"specversion":"1.0","id":"{}","source":"{}","type":"{}",)",
                                 record.key, marks.source, type);
      record.value += fmt::format(R"("subject":"{}",)", tenant);
      if (!time.empty()) record.value += fmt::format(R"("time":"{}",)", time);
      record.value += fmt::format(R"("data":{}}})", text);
    }
    const bool unread = record.delivery == Delivery::kAborted || record.delivery == Delivery::kGap;
    if (unread != (record.fate == Fate::kSkipped))
      fail("exactly the records that are @aborted or a @gap are skipped");
    case_.records.push_back(std::move(record));
  }

  // "TENANT METER [SPAN] START[/END] {DIMENSIONS} = QUANTITY of EVENTS": between the key's braces
  // anything goes.
  void read_total(std::string_view text) {
    const std::string tenant(take_word(text));
    const std::string meter(take_word(text));
    const std::string span(section_ == "spans" ? take_word(text) : std::string_view(kWindow));
    if (section_ == "spans" && std::find(kSpans.begin(), kSpans.end(), span) == kSpans.end())
      fail(fmt::format("`{}` is none of day, month, period", span));
    const std::string_view when = take_word(text);
    const std::size_t slash = when.find('/');
    const std::int64_t start = second_of(when.substr(0, slash));
    std::optional<std::int64_t> end_seconds;
    if (slash != std::string_view::npos) end_seconds = second_of(when.substr(slash + 1));
    const std::size_t end = text.rfind('}');
    if (!text.starts_with('{') || end == std::string_view::npos)
      fail("a total: tenant, meter, start, dimensions, what stands there");
    const std::string dimensions(text.substr(0, end + 1));
    Acceptable acceptable = read_standings(text.substr(end + 1));
    for (Standing& one : acceptable) one.end_seconds = end_seconds;
    if (!case_.books.totals.try_emplace({tenant, meter, span, start, dimensions}, acceptable)
             .second)
      fail("this total stands here twice");
  }

  // "= 2 of 2", "shows 3|4 of 3", "shows 7@08:20 of 3", "unique 2 of 5"
  Acceptable read_standings(std::string_view text) const {
    Standing standing;
    standing.kind = take_word(text);
    std::string_view values = take_word(text);
    const std::string_view of = take_word(text);
    if (standing.kind != "=" && standing.kind != "shows" && standing.kind != "unique")
      fail(fmt::format("`{}`: a counter has `=`, a gauge `shows`, a set `unique`", standing.kind));
    if (of != "of" || number(text) < 1) fail("after the value stands `of` and how many events");
    standing.events = number(text);
    Acceptable acceptable;
    while (!values.empty()) {
      std::string_view one = values.substr(0, values.find('|'));
      values.remove_prefix(std::min(values.size(), one.size() + 1));
      const std::size_t at = one.find('@');
      standing.value = one.substr(0, at);
      standing.read_at_us.reset();
      if (at != std::string_view::npos) standing.read_at_us = moment(one.substr(at + 1));
      acceptable.push_back(standing);
    }
    return acceptable;
  }

  // "counted 4, filtered 2"
  void read_classes(std::string_view text) {
    while (!text.empty()) {
      std::string_view one = text.substr(0, text.find(','));
      text.remove_prefix(std::min(text.size(), one.size() + 1));
      const Fate name = fate(take_word(one));
      case_.books.classes[std::string(to_string(name))] += number(one);
    }
  }

  // "time_in_future 2" or "tokens: value_missing 1"
  void read_reject(std::string_view text) {
    const std::size_t end = text.rfind(' ');
    if (end == std::string_view::npos) fail("a reject: its reason and how many");
    const std::string reason(trimmed(text.substr(0, end)));
    case_.books.rejects[reason] += number(text.substr(end + 1));
  }

  // The books are written by hand, and so are the fates: the one checks the other.
  void check_whole() {
    if (case_.catalogue.empty() || case_.records.empty()) fail("no catalogue or no records");
    std::map<std::string, std::int64_t> sums;
    for (const GoldenRecord& record : case_.records) {
      if (record.fate != Fate::kSkipped) ++sums[std::string(to_string(record.fate))];
      if (const std::int64_t skipped = skipped_offsets(record); skipped != 0)
        sums["skipped"] += skipped;
    }
    for (const std::string_view name : kFates) {
      const std::string key(name);
      const std::int64_t said = case_.books.classes.contains(key) ? case_.books.classes.at(key) : 0;
      if (said != sums[key])
        fail(fmt::format("`classes` says {} {}, the records' fates say {}", key, said, sums[key]));
    }
  }

  const std::string& file_name_;
  bool day_is_told_;
  int line_ = 0;
  std::string section_;
  GoldenCase case_;
};

}  // namespace

std::string_view to_string(Fate fate) { return kFates.at(static_cast<std::size_t>(fate)); }

bool GoldenCase::tells(const std::string& span) const {
  return span == kWindow ||
         std::any_of(books.totals.begin(), books.totals.end(),
                     [&](const auto& total) { return std::get<2>(total.first) == span; });
}

std::int64_t skipped_offsets(const GoldenRecord& record) {
  switch (record.delivery) {
    case Delivery::kPlain:
      return 0;
    case Delivery::kCommitted:
    case Delivery::kGap:
      return 1;
    case Delivery::kAborted:
      return 2;
  }
  return 0;
}

GoldenCase parse_case(const std::string& file_name, std::string_view text,
                      std::optional<std::int64_t> day_seconds) {
  return Parser(file_name, day_seconds).parse(text);
}

}  // namespace tally::golden
