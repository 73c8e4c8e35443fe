#include "core/event_reader.h"

#include "core/usage_event.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::core {
namespace {

constexpr std::string_view kJsonMediaType = "application/json";

bool same_media_type(std::string_view given) {
  given = given.substr(0, given.find(';'));
  while (!given.empty() && (given.back() == ' ' || given.back() == '\t')) given.remove_suffix(1);
  return std::equal(given.begin(), given.end(), kJsonMediaType.begin(), kJsonMediaType.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

EventFault no_json_object(std::string_view problem, std::size_t offset) {
  return {.malformed = true,
          .message = fmt::format("the event is not a JSON object: {} at byte {}", problem, offset)};
}

}  // namespace

constexpr std::array<std::string_view, EventReader::kMembers> EventReader::kMemberNames = {
    "specversion",     "id",   "source",     "type", "subject", "time",
    "datacontenttype", "data", "data_base64"};

EventReader::Member EventReader::member_of(std::string_view name) {
  const auto* const found = std::find(kMemberNames.begin(), kMemberNames.end(), name);
  return static_cast<Member>(found - kMemberNames.begin());
}

void EventReader::start() {
  texts_.fill({});
  given_.fill(false);
  is_text_.fill(false);
  has_base64_ = false;
  fault_.reset();
}

void EventReader::fault(std::string_view field, std::string message, std::size_t limit) {
  if (!fault_) fault_ = {.field = field, .limit = limit, .message = std::move(message)};
}

// False where the text is not JSON: the cursor knows why.
bool EventReader::read_member(JsonCursor& cursor, Member member, EventView& event) {
  const std::string_view name = kMemberNames[member];
  std::string_view ignored;
  if (std::exchange(given_[member], true)) {
    fault(name, fmt::format("{} stands twice: send it once", name));
    return cursor.read_value(ignored);
  }
  if (member == kData) return cursor.read_value(texts_[kData]);
  // CloudEvents: a member that is null counts as absent.
  if (cursor.peek() == 'n') return cursor.read_word(member == kTime ? event.null_time : ignored);
  if (member == kDataBase64) {
    has_base64_ = true;
    return cursor.read_value(ignored);
  }
  if (cursor.peek() != '"') {
    fault(name, fmt::format("{} is not a string: put it in quotes", name));
    return cursor.read_value(ignored);
  }
  is_text_[member] = true;
  return cursor.read_text(texts_[member], escaped_[member]);
}

// An extension attribute: any scalar; tally does not read it.
bool EventReader::read_extension(JsonCursor& cursor, std::string_view name) {
  const char start = cursor.peek();
  if (start == '{' || start == '[') {
    fault("", fmt::format("extension attribute {} is not a scalar: put structured content into "
                          "data",
                          name.substr(0, kMaxEventTypeBytes)));
  }
  std::string_view ignored;
  return cursor.read_value(ignored);
}

bool EventReader::read_members(JsonCursor& cursor, EventView& event) {
  if (!cursor.open('{')) return false;
  while (cursor.more('}')) {
    std::string_view name;
    if (!cursor.read_name(name, escaped_[kMembers])) return false;
    const Member member = member_of(name);
    if (!(member == kMembers ? read_extension(cursor, name) : read_member(cursor, member, event))) {
      return false;
    }
  }
  return !cursor.failed();
}

void EventReader::check_attribute(Member member, std::size_t max_bytes) {
  if (fault_) return;
  const std::string_view text = texts_[member];
  if (auto error = attribute_error(kMemberNames[member], text, max_bytes)) {
    fault(kMemberNames[member], std::move(error->message), text.size() > max_bytes ? max_bytes : 0);
  }
}

// What the members say, in this order: the first fault is the one that is told.
void EventReader::check(EventView& event) {
  if (texts_[kSpecVersion] != "1.0") {
    fault("specversion", "specversion is not \"1.0\": send CloudEvents 1.0");
  }
  if (has_base64_) {
    fault("data_base64", "data_base64 is not read: send data as a JSON object");
  }
  if (is_text_[kContentType] && !same_media_type(texts_[kContentType])) {
    fault("datacontenttype", "datacontenttype is not application/json: send data as a JSON object");
  }
  if (is_text_[kTime] && !fault_) {
    if (const auto time = parse_rfc3339(texts_[kTime]); !time) {
      fault("time", fmt::format("time is {}", time.error().message));
    } else if (auto error = time_error(time.value())) {
      fault("time", std::move(error->message));
    } else {
      event.time = time.value();
    }
  }
  check_attribute(kId, kMaxRequestIdBytes);
  check_attribute(kSource, kMaxSourceBytes);
  check_attribute(kType, kMaxEventTypeBytes);
  check_attribute(kSubject, kMaxTenantIdBytes);
  if (fault_) return;
  if (auto error = data_head_error(texts_[kData])) {
    const bool too_long = texts_[kData].size() > kMaxDataBytes;
    fault("data", std::move(error->message), too_long ? kMaxDataBytes : 0);
  }
}

std::optional<EventFault> EventReader::read_next(JsonCursor& cursor, EventView& event) {
  start();
  event = {};
  const char first = cursor.peek();
  const std::size_t begin = cursor.offset();
  if (first != '{') {
    EventFault no_object = no_json_object("expected an object", begin);
    no_object.malformed = false;  // as long as it is some value: the cursor says otherwise
    std::string_view ignored;
    static_cast<void>(cursor.read_value(ignored));
    fault_ = std::move(no_object);
  } else if (read_members(cursor, event)) {
    check(event);
  }
  if (cursor.failed()) return no_json_object(cursor.problem(), cursor.offset());
  event.text = cursor.since(begin);
  if (event.text.size() > kMaxRecordBytes) {
    fault("",
          fmt::format("the event has {} bytes, the limit is {}: send less", event.text.size(),
                      kMaxRecordBytes),
          kMaxRecordBytes);
  }
  event.id = texts_[kId];
  event.source = texts_[kSource];
  event.type = texts_[kType];
  event.subject = texts_[kSubject];
  event.data = texts_[kData];
  return std::exchange(fault_, std::nullopt);
}

std::optional<EventFault> EventReader::read(std::string_view json, EventView& event) {
  if (json.size() > kMaxRecordBytes) {
    return EventFault{.limit = kMaxRecordBytes,
                      .message = fmt::format("the event has {} bytes, the limit is {}: send less",
                                             json.size(), kMaxRecordBytes)};
  }
  if (!valid_utf8(json)) {
    return EventFault{.malformed = true, .message = "the event is not UTF-8: encode it so"};
  }
  JsonCursor cursor(json, kEventDepth, std::move(names_));
  auto fault = read_next(cursor, event);
  if (!cursor.failed() && !cursor.at_end()) {
    static_cast<void>(cursor.fail("something follows the event"));
    fault = no_json_object(cursor.problem(), cursor.offset());
  }
  names_ = std::move(cursor).names();
  return fault;
}

}  // namespace tally::core
