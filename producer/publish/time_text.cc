#include "producer/publish/time_text.h"

#include "core/decimal.h"
#include "core/limits.h"
#include "core/text.h"

#include <absl/time/time.h>
#include <fmt/format.h>

namespace tally::producer::publish {
namespace {

constexpr std::size_t kMaxShownBytes = 64;
constexpr std::string_view kCommonLog = "%d/%b/%Y:%H:%M:%S %z";

core::Error no_time(std::string_view text, std::string_view wanted) {
  return core::invalid(fmt::format("`{}` is no time: {} is wanted",
                                   core::printable_ascii(text, kMaxShownBytes), wanted));
}

core::Result<core::Timestamp> since_1970(std::string_view text, std::int64_t per_second) {
  const auto number = core::Decimal::parse(text);
  constexpr core::Int128 kUnits = 1'000'000'000'000;
  static_assert(core::Decimal::kScale == 12);
  if (!number || number.value().units() < 0 ||
      number.value().units() > kUnits * core::kEndOfYear9999Seconds * per_second) {
    return no_time(text, per_second == 1 ? "seconds since 1970" : "milliseconds since 1970");
  }
  const core::Int128 micros = number.value().units() * (1'000'000 / per_second) / kUnits;
  return core::Timestamp::from_micros(static_cast<std::int64_t>(micros));
}

}  // namespace

core::Result<TimeFormat> TimeFormat::of(std::string_view name) {
  TimeFormat format;
  if (name == "rfc3339") return format;
  if (name == "unix" || name == "unix-ms") {
    format.kind_ = name == "unix" ? Kind::kUnix : Kind::kUnixMillis;
    return format;
  }
  format.kind_ = Kind::kPattern;
  format.pattern_ = name == "clf" ? kCommonLog : name;
  if (format.pattern_.find('%') != std::string::npos) return format;
  return core::invalid(
      fmt::format("`{}` is no format of times: it is rfc3339, unix, unix-ms, clf, or a pattern "
                  "such as %Y-%m-%d %H:%M:%S",
                  core::printable_ascii(name, kMaxShownBytes)));
}

core::Result<core::Timestamp> TimeFormat::read(std::string_view text) const {
  switch (kind_) {
    case Kind::kRfc3339:
      if (const auto time = core::parse_rfc3339(text)) return time.value();
      return no_time(text, "RFC 3339, as 2026-11-21T08:00:00Z,");
    case Kind::kUnix:
      return since_1970(text, 1);
    case Kind::kUnixMillis:
      return since_1970(text, 1000);
    case Kind::kPattern:
      break;
  }
  absl::Time time;
  if (!absl::ParseTime(pattern_, {text.data(), text.size()}, &time, nullptr)) {
    return no_time(text, pattern_);
  }
  return core::Timestamp::from_micros(absl::ToUnixMicros(time));
}

}  // namespace tally::producer::publish
