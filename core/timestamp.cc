#include "core/timestamp.h"

#include "core/check.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

namespace tally::core {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::size_t kMaxFractionDigits = 9;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads the text from left to right; the first thing that does not fit turns ok() off for good.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::int64_t digits(std::size_t count) {
    if (!ok_ || rest_.size() < count) return fail();
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_digit(rest_[i])) return fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }

  // The character read, or '\0' where it is none of `allowed`.
  char one_of(std::string_view allowed) {
    if (!ok_ || rest_.empty() || allowed.find(rest_.front()) == std::string_view::npos) {
      fail();
      return '\0';
    }
    const char found = rest_.front();
    rest_.remove_prefix(1);
    return found;
  }

  std::int64_t fraction_micros() {
    if (!ok_ || rest_.empty() || rest_.front() != '.') return 0;
    rest_.remove_prefix(1);
    std::size_t count = 0;
    std::int64_t micros = 0;
    while (count < rest_.size() && is_digit(rest_[count])) {
      if (count < 6) micros = micros * 10 + (rest_[count] - '0');
      ++count;
    }
    if (count == 0 || count > kMaxFractionDigits) return fail();
    for (std::size_t i = count; i < 6; ++i) micros *= 10;
    rest_.remove_prefix(count);
    return micros;
  }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::int64_t fail() {
    ok_ = false;
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

Error refused(const char* reason) {
  return invalid(fmt::format("not an RFC 3339 time ({}); write 2026-11-21T08:00:00Z", reason));
}

std::int64_t offset_seconds(Reader& reader) {
  const char sign = reader.one_of("Zz+-");
  if (sign == 'Z' || sign == 'z' || !reader.ok()) return 0;
  const std::int64_t hours = reader.digits(2);
  reader.one_of(":");
  const std::int64_t minutes = reader.digits(2);
  if (hours > 23 || minutes > 59) {
    reader.one_of("");
    return 0;
  }
  return (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

// Of a date and time without fraction or offset: where a digit may stand, and what stands
// elsewhere.
constexpr std::string_view kForm = "0000-00-00T00:00:00";

// Whether eight characters from kAt on have the form's digits and separators. A character xor
// its form's is at most 9 for a digit and 0 for the rest: with the room above added, below 0x80.
template <std::size_t kAt>
bool has_form(std::string_view text) {
  constexpr auto kWords = [] {
    std::array<char, 8> form{};
    std::array<std::uint8_t, 8> room{};
    for (std::size_t i = 0; i < form.size(); ++i) {
      form[i] = kForm[kAt + i];
      room[i] = form[i] == '0' ? 0x7f - 9 : 0x7f;
    }
    return std::pair(std::bit_cast<std::uint64_t>(form), std::bit_cast<std::uint64_t>(room));
  }();
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, text.data() + kAt, sizeof(bytes));
  bytes ^= kWords.first;
  return (((bytes + kWords.second) | bytes) & 0x8080'8080'8080'8080ULL) == 0;
}

// How nearly every time is written: `2026-11-21T08:00:00Z`, with a fraction or without. nullopt:
// written otherwise, or no time: whoever reads every form tells.
std::optional<Timestamp> parse_usual(std::string_view text) {
  if (text.size() <= kForm.size() || text.back() != 'Z') return std::nullopt;
  if (!has_form<0>(text) || !has_form<8>(text) || !has_form<kForm.size() - 8>(text)) {
    return std::nullopt;
  }
  const auto two = [text](std::size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); };
  const std::chrono::year_month_day date(std::chrono::year(two(0) * 100 + two(2)),
                                         std::chrono::month(static_cast<unsigned>(two(5))),
                                         std::chrono::day(static_cast<unsigned>(two(8))));
  if (!date.ok() || date.year() < std::chrono::year(1970)) return std::nullopt;
  if (two(11) > 23 || two(14) > 59 || two(17) > 59) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  std::int64_t micros = days * kDaySeconds + two(11) * 3600 + two(14) * 60 + two(17);
  const std::string_view fraction = text.substr(kForm.size(), text.size() - kForm.size() - 1);
  if (fraction.empty()) return Timestamp::from_micros(micros * kMicrosPerSecond);
  if (fraction.front() != '.' || fraction.size() < 2 || fraction.size() > 7) return std::nullopt;
  for (const char c : fraction.substr(1)) {
    if (!is_digit(c)) return std::nullopt;
    micros = micros * 10 + (c - '0');
  }
  for (std::size_t i = fraction.size(); i <= 6; ++i) micros *= 10;
  return Timestamp::from_micros(micros);
}

Result<Timestamp> parse_any(std::string_view text) {
  Reader reader(text);
  const std::int64_t year = reader.digits(4);
  reader.one_of("-");
  const std::int64_t month = reader.digits(2);
  reader.one_of("-");
  const std::int64_t day = reader.digits(2);
  reader.one_of("Tt");
  const std::int64_t hour = reader.digits(2);
  reader.one_of(":");
  const std::int64_t minute = reader.digits(2);
  reader.one_of(":");
  const std::int64_t second = reader.digits(2);
  const std::int64_t fraction = reader.fraction_micros();
  const std::int64_t offset = offset_seconds(reader);
  if (!reader.ok() || !reader.at_end()) return refused("the form is wrong");

  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok()) return refused("no such day");
  if (hour > 23 || minute > 59 || second > 60) return refused("no such time of day");
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * kDaySeconds + hour * 3600 + minute * 60 + second - offset;
  if (second == 60 && seconds % kDaySeconds != 0) {
    return refused("a leap second ends a day in UTC");
  }
  if (year < 1970 || seconds < 0 || seconds >= kEndOfYear9999Seconds) {
    return refused("outside the years 1970 to 9999");
  }
  return Timestamp::from_micros(seconds * kMicrosPerSecond + fraction);
}

}  // namespace

Result<Timestamp> parse_rfc3339(std::string_view text) {
  if (const auto usual = parse_usual(text)) return *usual;
  return parse_any(text);
}

bool is_event_time(Timestamp time) {
  return Timestamp::from_seconds(kFirstEventSeconds) <= time &&
         time < Timestamp::from_seconds(kEndOfEventsSeconds);
}

std::size_t write_rfc3339(Timestamp time, std::span<char, kMaxRfc3339Bytes> to) {
  const std::int64_t micros = time.micros();
  TALLY_CHECK(micros >= 0 && micros / kMicrosPerSecond < kEndOfYear9999Seconds, "micros {}",
              micros);
  const std::int64_t seconds = micros / kMicrosPerSecond;
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(seconds / kDaySeconds))};
  const std::int64_t of_day = seconds % kDaySeconds;
  char* out = fmt::format_to(to.data(), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                             static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                             static_cast<unsigned>(date.day()), of_day / 3600, of_day / 60 % 60,
                             of_day % 60);
  if (const std::int64_t fraction = micros % kMicrosPerSecond; fraction != 0) {
    out = fmt::format_to(out, ".{:06}", fraction);
  }
  *out++ = 'Z';
  return static_cast<std::size_t>(out - to.data());
}

std::string to_rfc3339(Timestamp time) {
  std::array<char, kMaxRfc3339Bytes> text;
  return {text.data(), write_rfc3339(time, text)};
}

}  // namespace tally::core
