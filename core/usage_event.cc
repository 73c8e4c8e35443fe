#include "core/usage_event.h"

#include "core/eight_bytes.h"
#include "core/event_reader.h"
#include "core/json_cursor.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <utility>

namespace tally::core {
namespace {

constexpr std::string_view kJsonMediaType = "application/json";

// CloudEvents forbids the control characters U+0000..U+001F and U+007F..U+009F in attributes.
bool has_control_character(std::string_view text) {
  const auto suspicious = [](EightBytes bytes) {
    return controls_of(bytes) | equals_of(bytes, '\x7f') | not_ascii_of(bytes);
  };
  if (!any_byte(text, suspicious)) return false;
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

std::optional<Error> data_head_error(std::string_view json) {
  if (auto error = data_size_error(json)) return error;
  return JsonCursor(json).peek() == '{' ? std::nullopt
                                        : std::optional(no_object("it does not start with {"));
}

std::optional<Error> data_error(std::string_view json, std::vector<std::string_view>& names) {
  if (auto error = data_head_error(json)) return error;
  if (!valid_utf8(json)) return no_object("it is not UTF-8");
  JsonCursor cursor(json, kMaxJsonDepth, std::move(names));
  std::string_view ignored;
  std::optional<Error> error;
  if (!cursor.read_value(ignored)) {
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
  EventReader reader;
  EventView read;
  if (auto fault = reader.read(json, read)) return invalid(std::move(fault->message));
  return UsageEvent{std::string(read.id),
                    std::string(read.source),
                    std::string(read.type),
                    std::string(read.subject),
                    read.time,
                    std::string(read.data)};
}

}  // namespace tally::core
