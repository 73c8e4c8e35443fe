#include "producer/serve/body_reader.h"

#include "core/limits.h"
#include "core/usage_event.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::producer::serve {
namespace {

using core::EventFault;
using core::EventView;

constexpr std::string_view kHeaderPrefix = "ce-";

EventFault malformed(std::string message) {
  return {.malformed = true, .field = {}, .limit = 0, .message = std::move(message)};
}

bool within(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() < whole.data() + whole.size();
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// CloudEvents' HTTP binding, 3.1.3.2: quotes around it and backslashes are taken away, then one
// round of percent-decoding. A plus stays what it is.
void decode_header(std::string_view value, std::string& out) {
  out.clear();
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  if (quoted) value = value.substr(1, value.size() - 2);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (quoted && value[i] == '\\' && i + 1 < value.size()) {
      out += value[++i];
    } else if (value[i] == '%' && i + 2 < value.size() && hex_digit(value[i + 1]) >= 0 &&
               hex_digit(value[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(value[i + 1]) * 16 + hex_digit(value[i + 2]));
      i += 2;
    } else {
      out += value[i];
    }
  }
}

// CloudEvents: attributes' names are of lower-case letters and digits; headers know no case.
bool lower_name(std::string_view header, std::string& name) {
  name.clear();
  for (const char c : header) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    if (!((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9'))) return false;
    name += lower;
  }
  return !name.empty();
}

}  // namespace

void BodyReader::start(std::string_view body, const BodyRules& rules) {
  events_.clear();
  problems_.clear();
  escaped_ids_.clear();
  body_ = body;
  rules_ = rules;
  seen_ = 0;
  utf8_ = core::valid_utf8(body);
  stopped_early_ = too_many_ = false;
  of_other_tenant_.reset();
}

void BodyReader::add_problem(EventFault fault) { problems_.push_back({seen_, std::move(fault)}); }

void BodyReader::add(const EventView& event, std::optional<EventFault> fault) {
  if (!utf8_ && !core::valid_utf8(event.text)) {
    fault = malformed("the event is not UTF-8: encode it so");
  }
  if (!fault && event.text.size() > core::kMaxServedEventBytes) {
    fault = EventFault{.malformed = false,
                       .field = {},
                       .limit = core::kMaxServedEventBytes,
                       .message = fmt::format("the event has {} bytes, the limit is {}: send less",
                                              event.text.size(), core::kMaxServedEventBytes)};
  }
  if (fault) {
    add_problem(*std::move(fault));
  } else {
    if (!rules_.tenant.empty() && event.subject != rules_.tenant && !of_other_tenant_) {
      of_other_tenant_ = seen_;
    }
    std::string_view id = event.id;
    if (!within(id, body_)) id = escaped_ids_.emplace_front(id);
    events_.push_back({id, event.text, event.null_time, event.time.has_value()});
  }
  ++seen_;
}

bool BodyReader::may_read_on() {
  stopped_early_ = problems_.size() >= kMaxProblems;
  too_many_ = !stopped_early_ && seen_ >= rules_.max_events;
  return !stopped_early_ && !too_many_;
}

void BodyReader::read_event(std::string_view body, const BodyRules& rules) {
  start(body, rules);
  EventView event;
  auto fault = reader_.read(body, event);
  add(event, std::move(fault));
}

void BodyReader::read_batch(std::string_view body, const BodyRules& rules) {
  start(body, rules);
  core::JsonCursor cursor(body, core::kEventDepth + 1, std::move(names_));
  EventView event;
  bool failed_in_event = false;
  if (cursor.open('[')) {
    while (cursor.more(']') && may_read_on()) {
      auto fault = reader_.read_next(cursor, event);
      failed_in_event = cursor.failed();
      add(event, std::move(fault));
    }
  }
  if (!cursor.failed() && !stopped_early_ && !too_many_ && !cursor.at_end()) {
    static_cast<void>(cursor.fail("something follows the batch"));
  }
  if (cursor.failed() && !failed_in_event) {
    add_problem(malformed(fmt::format("the batch is not a JSON array: {} at byte {}",
                                      cursor.problem(), cursor.offset())));
  }
  names_ = std::move(cursor).names();
}

void BodyReader::read_lines(std::string_view body, const BodyRules& rules) {
  start(body, rules);
  EventView event;
  while (!body.empty()) {
    std::string_view line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(body.size(), line.size() + 1));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    if (!may_read_on()) return;
    auto fault = reader_.read(line, event);
    add(event, std::move(fault));
  }
}

void BodyReader::append_attribute(std::string_view header, std::string_view value) {
  std::string name;
  if (!lower_name(header, name) || name == "data" || name == "datacontenttype") {
    add_problem(
        {.malformed = false,
         .field = {},
         .limit = 0,
         .message = fmt::format("the header ce-{} is no attribute: names are of letters and "
                                "digits, and data's type is said by Content-Type",
                                header.substr(0, core::kMaxEventTypeBytes))});
    return;
  }
  decode_header(value, attribute_);
  // What the reader checks it checks in the text; a text that is not UTF-8 would be no text.
  if (!core::valid_utf8(attribute_)) {
    add_problem({.malformed = false,
                 .field = {},
                 .limit = 0,
                 .message = fmt::format("{} is not UTF-8: encode it so", name)});
    return;
  }
  built_ += built_.size() > 1 ? ",\"" : "\"";
  built_ += name;
  built_ += "\":";
  core::append_json_string(attribute_, built_);
}

void BodyReader::read_binary(const runtime::http::Headers& headers, std::string_view body,
                             const BodyRules& rules) {
  start(body, rules);
  // Before it is put into an event: what is told of it counts from its own first byte.
  if (auto error = core::data_head_error(body)) {
    const bool too_long = body.size() > core::kMaxDataBytes;
    add_problem({.malformed = false,
                 .field = "data",
                 .limit = too_long ? core::kMaxDataBytes : 0,
                 .message = std::move(error->message)});
  } else if (auto broken = core::data_error(body, names_)) {
    add_problem(malformed(std::move(broken->message)));
  }
  built_ = "{";
  for (const auto& [name, value] : headers) {
    const std::string_view prefix = name.substr(0, kHeaderPrefix.size());
    if (!runtime::http::equal_without_case(prefix, kHeaderPrefix)) continue;
    append_attribute(name.substr(prefix.size()), value);
  }
  if (!problems_.empty()) return;
  built_ += built_.size() > 1 ? ",\"datacontenttype\":\"application/json\",\"data\":"
                              : "\"datacontenttype\":\"application/json\",\"data\":";
  built_ += body;
  built_ += '}';
  body_ = built_;
  EventView event;
  auto fault = reader_.read(built_, event);
  add(event, std::move(fault));
}

std::string_view stamped(const ReadEvent& event, std::string_view time, std::string& room) {
  if (event.has_time) return event.text;
  room.clear();
  if (!event.null_time.empty()) {
    const auto before = static_cast<std::size_t>(event.null_time.data() - event.text.data());
    room += event.text.substr(0, before);
    room += '"';
    room += time;
    room += '"';
    room += event.text.substr(before + event.null_time.size());
    return room;
  }
  room += R"({"time":")";
  room += time;
  room += "\",";
  room += event.text.substr(1);
  return room;
}

}  // namespace tally::producer::serve
