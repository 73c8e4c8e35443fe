#include "core/usage_event.h"

#include "core/json_cursor.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace tally::core {
namespace {

constexpr int kEventDepth = kMaxJsonDepth + 1;  // the limit counts from data's own brace
constexpr std::string_view kJsonMediaType = "application/json";

// CloudEvents forbids the control characters U+0000..U+001F and U+007F..U+009F in attributes.
bool has_control_character(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      return true;
    }
  }
  return false;
}

std::optional<Error> attributes_error(const UsageEvent& event) {
  if (auto error = attribute_error("id", event.id, kMaxRequestIdBytes)) return error;
  if (auto error = attribute_error("source", event.source, kMaxSourceBytes)) return error;
  if (auto error = attribute_error("type", event.type, kMaxEventTypeBytes)) return error;
  if (auto error = attribute_error("subject", event.subject, kMaxTenantIdBytes)) return error;
  return event.time ? time_error(*event.time) : std::nullopt;
}

std::optional<Error> data_size_error(std::string_view data) {
  if (data.empty()) {
    return invalid("data is missing: give a JSON object, {} where there is nothing to say");
  }
  if (data.size() > kMaxDataBytes) {
    return invalid(
        fmt::format("data has {} bytes, the limit is {}: send less", data.size(), kMaxDataBytes));
  }
  return std::nullopt;
}

Error no_object(std::string_view problem) {
  return invalid(fmt::format("data is not a JSON object: {}", problem));
}

bool same_media_type(std::string_view given) {
  given = given.substr(0, given.find(';'));
  while (!given.empty() && (given.back() == ' ' || given.back() == '\t')) given.remove_suffix(1);
  return std::equal(given.begin(), given.end(), kJsonMediaType.begin(), kJsonMediaType.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// The members of the structured form that tally reads; all others are extensions.
enum Member : std::size_t {
  kSpecVersion,
  kId,
  kSource,
  kType,
  kSubject,
  kTime,
  kContentType,
  kData,
  kDataBase64,
  kMembers
};
constexpr std::array<std::string_view, kMembers> kMemberNames = {
    "specversion",     "id",   "source",     "type", "subject", "time",
    "datacontenttype", "data", "data_base64"};

struct Envelope {
  std::array<std::string, kData> texts;  // the attributes, by Member
  std::array<bool, kMembers> given{};
  std::array<bool, kMembers> is_text{};  // given, and not null
  std::string_view data;
  bool has_base64 = false;
};

bool skip_null(JsonCursor& cursor) {
  std::string_view word;
  return cursor.read_word(word) && (word == "null" || cursor.fail("expected a string"));
}

// False where the text is not JSON (the cursor knows why) or `error` was set.
bool read_member(JsonCursor& cursor, Member member, Envelope& envelope,
                 std::optional<Error>& error) {
  if (envelope.given[member]) {
    error = invalid(fmt::format("{} stands twice: send it once", kMemberNames[member]));
    return false;
  }
  envelope.given[member] = true;
  if (member == kData) return cursor.read_value(envelope.data);
  // CloudEvents: a member that is null counts as absent.
  if (cursor.peek() == 'n') return skip_null(cursor);
  if (member == kDataBase64) {
    envelope.has_base64 = true;
    std::string_view ignored;
    return cursor.read_value(ignored);
  }
  if (cursor.peek() != '"') {
    error = invalid(fmt::format("{} is not a string: put it in quotes", kMemberNames[member]));
    return false;
  }
  envelope.is_text[member] = true;
  return cursor.read_string(envelope.texts[member]);
}

// An extension attribute: any scalar; tally does not read it.
bool read_extension(JsonCursor& cursor, std::string_view name, std::optional<Error>& error) {
  const char start = cursor.peek();
  if (start == '{' || start == '[') {
    error = invalid(
        fmt::format("extension attribute {} is not a scalar: put structured content into data",
                    name.substr(0, kMaxEventTypeBytes)));
    return false;
  }
  std::string_view ignored;
  return cursor.read_value(ignored);
}

std::optional<Error> read_envelope(std::string_view json, Envelope& envelope) {
  if (json.size() > kMaxRecordBytes) {
    return invalid(fmt::format("the event has {} bytes, the limit is {}: send less", json.size(),
                               kMaxRecordBytes));
  }
  if (!valid_utf8(json)) return invalid("the event is not UTF-8: encode it so");
  JsonCursor cursor(json, kEventDepth);
  std::optional<Error> error;
  std::string name;
  bool good = cursor.open('{');
  while (good && cursor.more('}')) {
    good = cursor.read_name(name);
    if (!good) break;
    const auto* const found = std::find(kMemberNames.begin(), kMemberNames.end(), name);
    good = found == kMemberNames.end()
               ? read_extension(cursor, name, error)
               : read_member(cursor, static_cast<Member>(found - kMemberNames.begin()), envelope,
                             error);
  }
  if (error) return error;
  if (!cursor.failed() && !cursor.at_end()) {
    static_cast<void>(cursor.fail("something follows the event"));
  }
  if (!cursor.failed()) return std::nullopt;
  return invalid(fmt::format("the event is not a JSON object: {} at byte {}", cursor.problem(),
                             cursor.offset()));
}

}  // namespace

std::optional<Error> attribute_error(std::string_view name, std::string_view value,
                                     std::size_t max_bytes) {
  if (value.empty()) {
    return invalid(fmt::format("{} is missing or empty: give 1 to {} bytes", name, max_bytes));
  }
  if (value.size() > max_bytes) {
    return invalid(
        fmt::format("{} has {} bytes, the limit is {}: shorten it", name, value.size(), max_bytes));
  }
  if (!valid_utf8(value)) return invalid(fmt::format("{} is not UTF-8: encode it so", name));
  if (has_control_character(value)) {
    return invalid(fmt::format("{} holds a control character: remove it", name));
  }
  return std::nullopt;
}

std::optional<Error> time_error(Timestamp time) {
  if (is_event_time(time)) return std::nullopt;
  return invalid(fmt::format("time {}", kNoEventTime));
}

std::optional<Error> data_error(std::string_view json, std::vector<std::string_view>& names) {
  if (auto error = data_size_error(json)) return error;
  if (!valid_utf8(json)) return no_object("it is not UTF-8");
  JsonCursor cursor(json, kMaxJsonDepth, std::move(names));
  std::string_view ignored;
  std::optional<Error> error;
  if (cursor.peek() != '{') {
    error = no_object("it does not start with {");
  } else if (!cursor.read_value(ignored)) {
    error = no_object(fmt::format("{} at byte {}", cursor.problem(), cursor.offset()));
  } else if (!cursor.at_end()) {
    error = no_object("something follows it");
  }
  names = std::move(cursor).names();
  return error;
}

Result<void> validate(const UsageEvent& event) {
  if (auto error = attributes_error(event)) return *std::move(error);
  std::vector<std::string_view> names;
  if (auto error = data_error(event.data, names)) return *std::move(error);
  return boost::outcome_v2::success();
}

void append_structured(const UsageEvent& event, std::string& out) {
  const auto attribute = [&out](std::string_view name, std::string_view value) {
    out += ",\"";
    out += name;
    out += "\":";
    append_json_string(value, out);
  };
  out += R"({"specversion":"1.0")";
  attribute("id", event.id);
  attribute("source", event.source);
  attribute("type", event.type);
  attribute("subject", event.subject);
  if (event.time) attribute("time", to_rfc3339(*event.time));
  attribute("datacontenttype", kJsonMediaType);
  out += ",\"data\":";
  out += event.data;
  out += '}';
}

Result<UsageEvent> parse_structured(std::string_view json) {
  Envelope envelope;
  if (auto error = read_envelope(json, envelope)) return *std::move(error);
  auto& texts = envelope.texts;
  if (texts[kSpecVersion] != "1.0")
    return invalid("specversion is not \"1.0\": send CloudEvents 1.0");
  if (envelope.has_base64) return invalid("data_base64 is not read: send data as a JSON object");
  if (envelope.is_text[kContentType] && !same_media_type(texts[kContentType])) {
    return invalid("datacontenttype is not application/json: send data as a JSON object");
  }
  UsageEvent event{std::move(texts[kId]),
                   std::move(texts[kSource]),
                   std::move(texts[kType]),
                   std::move(texts[kSubject]),
                   std::nullopt,
                   std::string()};
  if (envelope.is_text[kTime]) {
    const auto time = parse_rfc3339(texts[kTime]);
    if (!time) return invalid(fmt::format("time is {}", time.error().message));
    event.time = time.value();
  }
  if (auto error = attributes_error(event)) return *std::move(error);
  if (auto error = data_size_error(envelope.data)) return *std::move(error);
  if (envelope.data.front() != '{') return no_object("it does not start with {");
  event.data = envelope.data;
  return event;
}

}  // namespace tally::core
