#include "tests/support/generator/calendar.h"

#include <charconv>

namespace tally::generator {
namespace {

// Howard Hinnant's civil calendar: days since 1970-01-01 and back.
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = year / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

void append_padded(std::int64_t number, int width, std::string& out) {
  const std::size_t start = out.size();
  out.append(static_cast<std::size_t>(width), '0');
  for (std::size_t place = start + static_cast<std::size_t>(width); number > 0 && place > start;
       number /= 10) {
    out[--place] = static_cast<char>('0' + number % 10);
  }
}

void append_date(std::int64_t days, std::string& out) {
  const std::int64_t shifted = days + 719'468;
  const std::int64_t era = shifted / 146'097;
  const std::int64_t day_of_era = shifted - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  append_padded(year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4, out);
  out += '-';
  append_padded(month, 2, out);
  out += '-';
  append_padded(day_of_year - (153 * shifted_month + 2) / 5 + 1, 2, out);
}

std::optional<int> digits(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::int64_t> parse_utc(std::string_view text) {
  if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text[19] != 'Z') {
    return std::nullopt;
  }
  const auto year = digits(text.substr(0, 4));
  const auto month = digits(text.substr(5, 2));
  const auto day = digits(text.substr(8, 2));
  const auto hour = digits(text.substr(11, 2));
  const auto minute = digits(text.substr(14, 2));
  const auto second = digits(text.substr(17, 2));
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (*year < 1970 || *month < 1 || *month > 12 || *day < 1 || *hour > 23 || *minute > 59 ||
      *second > 59) {
    return std::nullopt;
  }
  const std::int64_t days = days_from_civil(*year, *month, *day);
  const std::int64_t micros =
      (days * kDaySeconds + *hour * 3'600 + *minute * 60 + *second) * kMicrosPerSecond;
  // A day that the month does not have comes back as another date.
  std::string back;
  append_date(days, back);
  return back == text.substr(0, 10) ? std::optional(micros) : std::nullopt;
}

void append_utc(std::int64_t micros, std::string& out) {
  const std::int64_t seconds = micros / kMicrosPerSecond;
  const std::int64_t of_day = seconds % kDaySeconds;
  append_date(seconds / kDaySeconds, out);
  out += 'T';
  append_padded(of_day / 3'600, 2, out);
  out += ':';
  append_padded(of_day / 60 % 60, 2, out);
  out += ':';
  append_padded(of_day % 60, 2, out);
  out += '.';
  append_padded(micros % kMicrosPerSecond, 6, out);
  out += 'Z';
}

void append_thousandths(Wide thousandths, std::string& out) {
  char text[48];
  std::size_t place = sizeof text;
  Wide whole = thousandths / 1'000;
  auto rest = static_cast<int>(thousandths % 1'000);
  do {
    text[--place] = static_cast<char>('0' + static_cast<int>(whole % 10));
    whole /= 10;
  } while (whole > 0);
  out.append(text + place, sizeof text - place);
  if (rest == 0) return;
  out += '.';
  for (int unit = 100; rest > 0; unit /= 10) {
    out += static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
}

std::string thousandths_text(Wide thousandths) {
  std::string out;
  append_thousandths(thousandths, out);
  return out;
}

}  // namespace tally::generator
