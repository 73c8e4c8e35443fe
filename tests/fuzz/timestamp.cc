// core/timestamp.h: every text against one regular expression and the C library's calendar; every
// moment there and back.
#include "core/timestamp.h"

#include "core/check.h"
#include "tests/fuzz/target.h"

#include <cstring>
#include <ctime>
#include <optional>
#include <regex>
#include <string>

namespace tally::fuzz {
namespace {

constexpr std::size_t kMaxTextBytes = 64;  // 2026-11-21T08:00:00.123456789+00:00 has 35
constexpr std::int64_t kEndOfYear9999Seconds = 253'402'300'800;

std::optional<std::int64_t> expected_micros(const std::string& text) {
  static const std::regex kForm(R"((\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d))"
                                R"((?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d)))");
  std::smatch parts;
  if (!std::regex_match(text, parts, kForm)) return std::nullopt;
  const auto part = [&parts](std::size_t i) { return parts[i].matched ? std::stoi(parts[i]) : 0; };
  if (part(1) < 1970 || part(4) > 23 || part(5) > 59 || part(6) > 60) return std::nullopt;
  if (part(9) > 23 || part(10) > 59) return std::nullopt;

  std::tm date{};
  date.tm_year = part(1) - 1900;
  date.tm_mon = part(2) - 1;
  date.tm_mday = part(3);
  std::tm normal = date;
  const std::int64_t midnight = timegm(&normal);
  if (normal.tm_mon != date.tm_mon || normal.tm_mday != date.tm_mday) return std::nullopt;
  const std::int64_t offset = part(9) * 3600 + part(10) * 60;
  const std::int64_t seconds =
      midnight + part(4) * 3600 + part(5) * 60 + part(6) - (parts.str(8) == "-" ? -offset : offset);
  if (part(6) == 60 && seconds % 86'400 != 0) return std::nullopt;
  if (seconds < 0 || seconds >= kEndOfYear9999Seconds) return std::nullopt;
  return seconds * 1'000'000 + std::stoll((parts.str(7) + "000000").substr(0, 6));
}

void check_comes_back(core::Timestamp time) {
  const std::string text = core::to_rfc3339(time);
  const auto again = core::parse_rfc3339(text);
  TALLY_CHECK(again && again.value() == time, "{} is not {} us", text, time.micros());
  TALLY_CHECK(expected_micros(text) == time.micros(), "{} is not {} us", text, time.micros());
}

}  // namespace

void one_input(std::string_view input) {
  const std::string text(input.substr(0, kMaxTextBytes));
  const auto time = core::parse_rfc3339(text);
  const auto wanted = expected_micros(text);
  TALLY_CHECK(time.has_value() == wanted.has_value(), "`{}` was {}", text,
              time ? "accepted" : time.error().message);
  if (time) {
    TALLY_CHECK(time.value().micros() == *wanted, "`{}` was read as {} us, it is {}", text,
                time.value().micros(), *wanted);
    check_comes_back(time.value());
  }
  std::uint64_t number = 0;
  if (input.size() < sizeof(number)) return;
  std::memcpy(&number, input.data(), sizeof(number));
  const auto range = static_cast<std::uint64_t>(kEndOfYear9999Seconds) * 1'000'000;
  check_comes_back(core::Timestamp::from_micros(static_cast<std::int64_t>(number % range)));
}

}  // namespace tally::fuzz
