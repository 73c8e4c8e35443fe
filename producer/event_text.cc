#include "producer/event_text.h"

#include "core/check.h"
#include "core/decimal.h"
#include "core/json_cursor.h"
#include "core/limits.h"
#include "core/usage_event.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

namespace tally::producer {
namespace {

constexpr std::string_view kOpening = R"({"specversion":"1.0","source":)";
constexpr std::string_view kId = R"(,"id":")";
constexpr std::string_view kType = R"(","type":")";
constexpr std::string_view kSubject = R"(","subject":")";
constexpr std::string_view kTime = R"(","time":")";
constexpr std::string_view kData = R"(","data":)";
constexpr std::size_t kWords =
    kOpening.size() + kId.size() + kType.size() + kSubject.size() + kTime.size() + kData.size();
constexpr std::size_t kSecondBytes = 19;  // `2026-11-21T08:00:00`
constexpr std::size_t kNumberRoom = 20;   // of 64 bits, with a sign
constexpr std::uint64_t kMaxWholeValue = 1'000'000'000'000'000'000;
static_assert(core::Decimal::kScale == 12 &&
              core::kMaxValueUnits == core::Int128{kMaxWholeValue} * 1'000'000'000'000);

Problem keep(std::string_view sentence) {
  thread_local std::array<char, 512> memory;
  const std::size_t size = std::min(sentence.size(), memory.size());
  std::memcpy(memory.data(), sentence.data(), size);
  return {memory.data(), size};
}

Problem keep(const std::optional<core::Error>& error) {
  return error ? keep(error->message) : Problem();
}

template <class... Values>
Problem problem(fmt::format_string<Values...> sentence, Values&&... values) {
  return keep(fmt::format(sentence, std::forward<Values>(values)...));
}

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

// Eight characters at once: whether none of them is to be escaped or looked at more closely.
bool are_plain(std::uint64_t eight) {
  constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101ULL;
  constexpr std::uint64_t kHighs = 0x8080'8080'8080'8080ULL;
  const auto has_zero = [](std::uint64_t x) { return (x - kOnes) & ~x; };
  const std::uint64_t low = eight - kOnes * 0x20;  // borrows where a byte is below 0x20
  const std::uint64_t odd = low | (eight + kOnes) | has_zero(eight ^ (kOnes * '"')) |
                            has_zero(eight ^ (kOnes * '\\')) | eight;
  return (odd & kHighs) == 0;
}

template <class Word>
std::uint64_t word_at(const char* at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// What is left of eights is looked at together with what stands before it.
bool is_plain_text(std::string_view text) {
  const char* const end = text.data() + text.size();
  if (text.size() < 8) {
    if (text.size() >= 4) {
      return are_plain(word_at<std::uint32_t>(text.data()) | word_at<std::uint32_t>(end - 4)
                                                                 << 32U);
    }
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return is_plain(static_cast<unsigned char>(c)); });
  }
  for (const char* at = text.data(); end - at > 8; at += 8) {
    if (!are_plain(word_at<std::uint64_t>(at))) return false;
  }
  return are_plain(word_at<std::uint64_t>(end - 8));
}

// What escapes add to a text that core::append_json_string() writes.
std::size_t escapes_of(std::string_view text) {
  std::size_t extra = 0;
  for (const char c : text) {
    if (c == '"' || c == '\\') extra += 1;
    if (static_cast<unsigned char>(c) < 0x20) extra += 5;
  }
  return extra;
}

char* put(std::string_view text, char* to) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_escaped(std::string_view text, char* to) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') *to++ = '\\';
    if (code >= 0x20) {
      *to++ = c;
      continue;
    }
    to = put("\\u00", to);
    *to++ = kHex[code >> 4U];
    *to++ = kHex[code & 0xfU];
  }
  return to;
}

char* put_text(std::string_view text, bool has_escapes, char* to) {
  return has_escapes ? put_escaped(text, to) : put(text, to);
}

char* put_number(const FieldValue& value, char* to) {
  return value.kind() == FieldValue::Kind::kSigned
             ? std::to_chars(to, to + kNumberRoom, static_cast<std::int64_t>(value.number())).ptr
             : std::to_chars(to, to + kNumberRoom, value.number()).ptr;
}

char* put_value(const FieldValue& value, bool has_escapes, char* to) {
  switch (value.kind()) {
    case FieldValue::Kind::kText:
      *to++ = '"';
      to = put_text(value.text(), has_escapes, to);
      *to++ = '"';
      return to;
    case FieldValue::Kind::kDecimal:
      return put(value.text(), to);
    case FieldValue::Kind::kBool:
      return put(value.number() != 0 ? "true" : "false", to);
    case FieldValue::Kind::kSigned:
    case FieldValue::Kind::kUnsigned:
      break;
  }
  return put_number(value, to);
}

bool is_negative(const FieldValue& value) {
  return value.kind() == FieldValue::Kind::kSigned && static_cast<std::int64_t>(value.number()) < 0;
}

std::uint64_t magnitude(const FieldValue& value) {
  return is_negative(value) ? 0 - value.number() : value.number();
}

std::size_t digits_of(std::uint64_t value) {
  std::size_t digits = 1;
  for (; value >= 10'000; value /= 10'000) digits += 4;
  return digits + (value >= 10 ? 1 : 0) + (value >= 100 ? 1 : 0) + (value >= 1'000 ? 1 : 0);
}

// What a text takes between its quotes.
struct Room {
  std::size_t bytes = 0;
  std::size_t escapes = 0;  // of them
};

// Adds a text's; false where it is not UTF-8.
bool measure_text(std::string_view text, Room& room) {
  room.bytes += text.size();
  if (is_plain_text(text)) return true;
  const std::size_t escapes = escapes_of(text);
  room.bytes += escapes;
  room.escapes += escapes;
  return core::valid_utf8(text);
}

Problem measure_decimal(std::string_view name, std::string_view text) {
  const auto value = core::Decimal::parse(text);
  if (!value) {
    return problem("data.{} is {}: give a decimal such as 12.50", name, value.error().message);
  }
  const auto units = value.value().units();
  if (units <= core::kMaxValueUnits && units >= -core::kMaxValueUnits) return {};
  return problem("data.{} is beyond 10^18, the limit of a value: give less", name);
}

Problem measure_field(const Field& field, Room& room) {
  if (!measure_text(field.name, room)) {
    return keep("a member's name in data is not UTF-8: encode it so");
  }
  room.bytes += 3;  // quotes and colon
  const FieldValue& value = field.value;
  switch (value.kind()) {
    case FieldValue::Kind::kText:
      room.bytes += 2;
      if (measure_text(value.text(), room)) return {};
      return problem("data.{} is not UTF-8: encode it so", field.name);
    case FieldValue::Kind::kDecimal:
      room.bytes += value.text().size();
      return measure_decimal(field.name, value.text());
    case FieldValue::Kind::kBool:
      room.bytes += value.number() != 0 ? 4 : 5;
      return {};
    case FieldValue::Kind::kSigned:
    case FieldValue::Kind::kUnsigned:
      break;
  }
  room.bytes += digits_of(magnitude(value)) + (is_negative(value) ? 1 : 0);
  if (magnitude(value) <= kMaxWholeValue) return {};
  return problem("data.{} is beyond 10^18, the limit of a value: give less", field.name);
}

// `00` to `99`, one behind the other.
constexpr auto kPairs = [] {
  std::array<char, 200> pairs{};
  for (std::size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

// `value` is below 1,000,000.
char* put_six_digits(std::uint32_t value, char* to) {
  for (const std::uint32_t pair : {value / 10'000, value / 100 % 100, value % 100}) {
    to = put({kPairs.data() + 2 * pair, 2}, to);
  }
  return to;
}

// `2026-11-21T08:00:00.000000Z`. Events come one after the other: the second is mostly the last
// one's.
void write_time(core::Timestamp time, char* to) {
  struct Second {
    std::int64_t since_1970 = -1;
    std::array<char, core::kMaxRfc3339Bytes> text{};
  };
  thread_local Second last;
  if (last.since_1970 != time.seconds()) {
    static_cast<void>(
        core::write_rfc3339(core::Timestamp::from_seconds(time.seconds()), last.text));
    last.since_1970 = time.seconds();
  }
  to = put({last.text.data(), kSecondBytes}, to);
  *to++ = '.';
  to = put_six_digits(static_cast<std::uint32_t>(time.micros() - time.seconds() * 1'000'000), to);
  *to = 'Z';
}

std::string quoted(std::string_view text) {
  std::string out;
  core::append_json_string(text, out);
  return out;
}

}  // namespace

Stamp::Stamp(std::string_view source, std::string_view stream_id)
    : source_(source),
      source_json_(quoted(source)),
      stream_json_(fmt::format(R"(,"tallystream":"{}","tallyseq":")", stream_id)) {}

std::size_t write_sequence(std::uint64_t sequence, char* to) {
  char* const end = std::to_chars(to, to + kSequenceRoom, sequence).ptr;
  return static_cast<std::size_t>(put("\"}", end) - to);
}

Problem source_problem(std::string_view source) {
  return keep(core::attribute_error("source", source, core::kMaxSourceBytes));
}

Problem EventText::measure_attribute(std::string_view name, std::string_view value,
                                     std::size_t max_bytes, Text& into) {
  into.text = value;
  bytes_ += value.size();
  if (!value.empty() && value.size() <= max_bytes && is_plain_text(value)) return {};
  into.extra = escapes_of(value);
  bytes_ += into.extra;
  return keep(core::attribute_error(name, value, max_bytes));
}

Problem EventText::measure(std::string_view id, std::string_view source, std::string_view type,
                           std::string_view tenant, core::Timestamp time) {
  bytes_ = kWords + time_.size() + stamp_.stream_json().size();
  Problem wrong = measure_attribute("id", id, core::kMaxRequestIdBytes, id_);
  if (!wrong.empty()) return wrong;
  wrong = measure_attribute("type", type, core::kMaxEventTypeBytes, type_);
  if (!wrong.empty()) return wrong;
  wrong = measure_attribute("tenant", tenant, core::kMaxTenantIdBytes, tenant_);
  if (!wrong.empty()) return wrong;
  // The client's own was checked when it was opened.
  const bool own = source.data() == stamp_.source().data() && !source.empty();
  if (own) {
    bytes_ += stamp_.source_json().size();
  } else {
    wrong = measure_attribute("source", source, core::kMaxSourceBytes, source_);
    if (!wrong.empty()) return wrong;
    bytes_ += 2;
  }
  if (!core::is_event_time(time)) return keep(core::time_error(time));
  write_time(time, time_.data());
  return {};
}

Problem EventText::measure_data(std::string_view json) {
  thread_local std::vector<std::string_view> names;
  json_ = json;
  bytes_ += json.size();
  return keep(core::data_error(json, names));
}

Problem EventText::measure_data(std::span<const Field> fields) {
  fields_ = fields;
  if (fields.size() > core::kMaxFields) {
    return problem("data has {} members, the limit of this form is {}: give data as JSON text",
                   fields.size(), core::kMaxFields);
  }
  // Braces, and the commas between the members.
  Room room{.bytes = fields.empty() ? 2 : fields.size() + 1};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Problem wrong = measure_field(fields[i], room);
    if (!wrong.empty()) return wrong;
    for (std::size_t j = 0; j < i; ++j) {
      if (fields[j].name != fields[i].name) continue;
      return problem("data.{} is given twice: give it once", fields[i].name);
    }
  }
  if (room.bytes > core::kMaxDataBytes) {
    return problem("data has {} bytes, the limit is {}: send less", room.bytes,
                   core::kMaxDataBytes);
  }
  bytes_ += room.bytes;
  fields_have_escapes_ = room.escapes > 0;
  return {};
}

Problem EventText::size_problem(std::size_t key_bytes, std::size_t max_bytes) const {
  const std::size_t bytes = key_bytes + bytes_ + kSequenceRoom;
  if (bytes <= max_bytes) return {};
  return problem(
      "the event has {} bytes with its id, the limit is {}, for which Kafka's client is set "
      "(message.max.bytes): send less data, or raise it",
      bytes, max_bytes);
}

void EventText::write(char* to) const {
  char* const first = to;
  const auto put_attribute = [&to](std::string_view before, const Text& text) {
    to = put(before, to);
    to = text.extra == 0 ? put(text.text, to) : put_escaped(text.text, to);
  };
  to = put(kOpening, to);
  if (source_.text.empty()) {
    to = put(stamp_.source_json(), to);
  } else {
    put_attribute("\"", source_);
    *to++ = '"';
  }
  put_attribute(kId, id_);
  put_attribute(kType, type_);
  put_attribute(kSubject, tenant_);
  to = put(kTime, to);
  to = put({time_.data(), time_.size()}, to);
  to = put(kData, to);
  if (json_.empty()) {
    *to++ = '{';
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (i > 0) *to++ = ',';
      *to++ = '"';
      to = put_text(fields_[i].name, fields_have_escapes_, to);
      to = put("\":", to);
      to = put_value(fields_[i].value, fields_have_escapes_, to);
    }
    *to++ = '}';
  } else {
    to = put(json_, to);
  }
  to = put(stamp_.stream_json(), to);
  TALLY_CHECK(static_cast<std::size_t>(to - first) == bytes_, "measured {} bytes, wrote {}", bytes_,
              to - first);
}

}  // namespace tally::producer
