#include "aggregator/decode.h"

#include "aggregator/json_index.h"
#include "core/eight_bytes.h"
#include "core/limits.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using core::any_byte;
using runtime::kafka::Record;

struct Attribute {
  std::string_view name;
  std::string_view DecodedEvent::* field;
  std::size_t max_bytes;
};
constexpr std::array<Attribute, 4> kAttributes = {{
    {"id", &DecodedEvent::id, core::kMaxRequestIdBytes},
    {"source", &DecodedEvent::source, core::kMaxSourceBytes},
    {"type", &DecodedEvent::type, core::kMaxEventTypeBytes},
    {"subject", &DecodedEvent::subject, core::kMaxTenantIdBytes},
}};

// Of one level of one event type: every meter could read other members.
constexpr std::size_t kMaxNodes =
    core::kMaxMeters * (1 + core::kMaxDimensionsPerMeter + core::kMaxFiltersPerMeter);
static_assert(kMaxNodes % 64 == 0);

bool has_control_character(std::string_view text) { return any_byte(text, core::controls_of); }

// Attributes are short and nearly all ASCII: simdjson's answer costs more than eight bytes a step.
bool is_utf8(std::string_view text) {
  return !any_byte(text, core::not_ascii_of) || simdjson::validate_utf8(text.data(), text.size());
}

// For the compiler, which compares a few bytes of a known number without a call.
template <std::size_t kSize>
bool is(std::string_view text, const char (&wanted)[kSize]) {
  return text.size() == kSize - 1 && std::memcmp(text.data(), wanted, kSize - 1) == 0;
}

enum class Member : std::uint8_t {
  kId,
  kSource,
  kType,
  kSubject,
  kSpecversion,
  kTime,
  kDataBase64,
  kData,
  kOther
};

// By its length and its first eight bytes.
Member member_of(std::string_view name, NameHead head) {
  switch (name.size()) {
    case 2:
      return head == head_of("id") ? Member::kId : Member::kOther;
    case 4:
      if (head == head_of("type")) return Member::kType;
      if (head == head_of("time")) return Member::kTime;
      return head == head_of("data") ? Member::kData : Member::kOther;
    case 6:
      return head == head_of("source") ? Member::kSource : Member::kOther;
    case 7:
      return head == head_of("subject") ? Member::kSubject : Member::kOther;
    case 11:
      if (is(name, "specversion")) return Member::kSpecversion;
      return is(name, "data_base64") ? Member::kDataBase64 : Member::kOther;
    default:
      return Member::kOther;
  }
}

const Attribute& attribute_of(Member member) {
  return kAttributes.at(static_cast<std::size_t>(member));
}

bool starts_value(char token) {
  constexpr std::string_view kFirst = "{[\"ntf-0123456789";
  return kFirst.find(token) != std::string_view::npos;
}

bool is_named(const PathNode& node, std::string_view name, NameHead head) {
  return node.head == head && node.key.size() == name.size() &&
         (name.size() <= kNameHeadBytes || node.key == name);
}

// Most events have their members in the order of the meters': where one was found is where the
// search for the next begins. nodes.size(): none.
std::size_t node_named(const std::vector<PathNode>& nodes, std::size_t guess, std::string_view name,
                       NameHead head) {
  for (std::size_t i = guess; i < nodes.size(); ++i) {
    if (is_named(nodes[i], name, head)) return i;
  }
  for (std::size_t i = 0; i < guess; ++i) {
    if (is_named(nodes[i], name, head)) return i;
  }
  return nodes.size();
}

}  // namespace

struct Decoder::Impl {
  explicit Impl(const MeterSet& set) : meters(set) {}

  const MeterSet& meters;
  JsonIndex index;
  std::vector<Slot> slots;
  DecodedEvent event;
  bool seen_specversion = false;
  bool seen_time = false;
  bool seen_data = false;
  // Of `data` that stood before `type`: where it begins and ends.
  JsonIndex::Place deferred_data = nullptr;
  JsonIndex::Place deferred_end = nullptr;

  bool reject(RejectReason reason, std::string detail) {
    event.reject = reason;
    event.detail = std::move(detail);
    return false;
  }

  bool malformed(JsonFault fault) {
    if (fault == JsonFault::kUtf8) {
      return reject(RejectReason::kInvalidUtf8, "the value is not valid UTF-8");
    }
    return reject(RejectReason::kMalformedJson, to_string(fault));
  }

  void start() {
    // Field by field: making a whole new one and moving it in is dearer.
    event.reject = RejectReason::kNone;
    event.detail.clear();
    event.id = event.source = event.type = event.subject = {};
    event.time.reset();
    event.plan = nullptr;
    event.slots = {};
    seen_specversion = seen_time = seen_data = false;
    deferred_data = nullptr;
  }

  bool set_attribute(const Attribute& attribute, std::string_view text) {
    if (!(event.*attribute.field).empty()) {
      return reject(RejectReason::kDuplicateAttribute,
                    fmt::format("`{}` appears twice", attribute.name));
    }
    if (text.empty()) {
      return reject(RejectReason::kMissingAttribute, fmt::format("`{}` is empty", attribute.name));
    }
    if (text.size() > attribute.max_bytes) {
      return reject(RejectReason::kAttributeTooLong,
                    fmt::format("`{}` has {} bytes, the limit is {}", attribute.name, text.size(),
                                attribute.max_bytes));
    }
    if (has_control_character(text)) {
      return reject(RejectReason::kWrongType,
                    fmt::format("`{}` holds a control character", attribute.name));
    }
    event.*attribute.field = text;
    if (attribute.field == &DecodedEvent::type) find_plan();
    return true;
  }

  void find_plan() {
    event.plan = meters.find(event.type);
    if (event.plan == nullptr) return;
    slots.assign(event.plan->slots, Slot{});
    event.slots = slots;
  }

  bool set_time(std::string_view text) {
    if (std::exchange(seen_time, true)) {
      return reject(RejectReason::kDuplicateAttribute, "`time` appears twice");
    }
    const auto time = core::parse_rfc3339(text);
    if (!time) return reject(RejectReason::kBadTime, "`time`: " + time.error().message);
    // What it is counted in could not be written: nobody behind this looks again.
    if (!core::is_event_time(time.value())) {
      return reject(RejectReason::kBadTime, fmt::format("`time` {}", core::kNoEventTime));
    }
    event.time = time.value();
    return true;
  }

  bool set_specversion(std::string_view text) {
    if (std::exchange(seen_specversion, true)) {
      return reject(RejectReason::kDuplicateAttribute, "`specversion` appears twice");
    }
    if (!is(text, "1.0"))
      return reject(RejectReason::kUnsupportedSpecversion, "`specversion` must be \"1.0\"");
    return true;
  }

  bool require_all() {
    if (!seen_specversion) {
      return reject(RejectReason::kNotCloudEvent,
                    "`specversion` is missing: not a CloudEvents 1.0 event");
    }
    for (const Attribute& attribute : kAttributes) {
      if ((event.*attribute.field).empty()) {
        return reject(RejectReason::kMissingAttribute,
                      fmt::format("`{}` is missing", attribute.name));
      }
    }
    if (!seen_data)
      return reject(RejectReason::kDataNotObject, "`data` is missing: it must be a JSON object");
    return true;
  }

  // Every member from behind the opening brace on: `visit(name, head)`.
  template <class Visit>
  bool for_each_member(Visit&& visit) {
    JsonFault fault = JsonFault::kNone;
    if (index.each_member(fault, visit)) return true;
    return fault != JsonFault::kNone && malformed(fault);
  }

  bool fill_atom(Slot& slot, std::string_view atom, SlotKind kind) {
    if (!index.is_atom(atom)) return malformed(JsonFault::kType);
    index.step();
    slot.kind = kind;
    return true;
  }

  // Leaves the cursor where it is before an object or array.
  bool fill_slot(Slot& slot) {
    switch (index.token()) {
      case '"':
        slot.kind = SlotKind::kString;
        if (const auto fault = index.take_string(slot.text); fault != JsonFault::kNone) {
          return malformed(fault);
        }
        return true;
      case 't':
        return fill_atom(slot, "true", SlotKind::kTrue);
      case 'f':
        return fill_atom(slot, "false", SlotKind::kFalse);
      case 'n':
        return fill_atom(slot, "null", SlotKind::kNull);
      case '{':
      case '[':
        slot.kind = SlotKind::kComposite;
        return true;
      default:
        if (!starts_value(index.token())) return malformed(JsonFault::kStructure);
        slot.kind = SlotKind::kNumber;
        slot.text = index.raw();
        index.step();
        return true;
    }
  }

  bool walk(const std::vector<PathNode>& nodes) {
    std::array<std::uint64_t, kMaxNodes / 64> seen;  // only the words that `nodes` needs are set
    std::fill_n(seen.begin(), (nodes.size() + 63) / 64, 0);
    std::size_t guess = 0;
    return for_each_member([&](std::string_view name, NameHead head) {
      const std::size_t found = node_named(nodes, guess, name, head);
      if (found == nodes.size()) return true;
      guess = found + 1;
      const std::uint64_t bit = 1ULL << (found % 64);
      if ((seen.at(found / 64) & bit) != 0) {
        return reject(RejectReason::kDuplicateAttribute,
                      fmt::format("`data` has `{}` twice", name));
      }
      seen.at(found / 64) |= bit;
      return visit(nodes[found]);
    });
  }

  bool visit(const PathNode& node) {
    const auto value = index.place();
    if (node.slot != kNoSlot && !fill_slot(slots[node.slot])) return false;
    if (node.children.empty() || index.place() != value) return true;
    if (!starts_value(index.token())) return malformed(JsonFault::kStructure);
    if (index.token() != '{') return true;  // its children are absent
    index.enter_object();
    return walk(node.children);
  }

  // The cursor is at the object's brace and stays there.
  bool within_limit(std::size_t record_bytes) {
    if (record_bytes <= core::kMaxDataBytes) return true;
    const auto data = index.place();
    std::string_view raw;
    if (const auto fault = index.take_raw_object(raw); fault != JsonFault::kNone) {
      return malformed(fault);
    }
    index.go_to(data);
    if (raw.size() <= core::kMaxDataBytes) return true;
    return reject(RejectReason::kDataTooLarge, fmt::format("`data` has {} bytes, the limit is {}",
                                                           raw.size(), core::kMaxDataBytes));
  }

  bool read_data(std::size_t record_bytes) {
    if (index.token() != '{') {
      return reject(RejectReason::kDataNotObject, "`data` must be a JSON object");
    }
    if (!within_limit(record_bytes)) return false;
    index.enter_object();
    if (event.plan != nullptr) return walk(event.plan->roots);
    const auto fault = index.leave_object();
    return fault == JsonFault::kNone || malformed(fault);
  }

  bool read_member(std::string_view name, NameHead head, std::size_t record_bytes) {
    std::optional<std::string_view> text;
    const auto read = [&](auto&& set) { return read_string(name, text) && (!text || set()); };
    const Member member = member_of(name, head);
    switch (member) {
      case Member::kId:
      case Member::kSource:
      case Member::kType:
      case Member::kSubject:
        return read([&] { return set_attribute(attribute_of(member), *text); });
      case Member::kSpecversion:
        return read([&] { return set_specversion(*text); });
      case Member::kTime:
        return read([&] { return set_time(*text); });
      case Member::kDataBase64:
        if (take_null()) return true;
        return reject(RejectReason::kDataNotObject,
                      "`data_base64` is not read: put a JSON object into `data`");
      case Member::kData:
        if (std::exchange(seen_data, true)) {
          return reject(RejectReason::kDuplicateAttribute, "`data` appears twice");
        }
        if (!event.type.empty()) return read_data(record_bytes);
        return defer_data();
      case Member::kOther:
        return true;
    }
    return true;
  }

  // CloudEvents' JSON format reads null as an attribute that is not there.
  bool take_null() {
    if (!index.is_atom("null")) return false;
    index.step();
    return true;
  }

  // nullopt: null.
  bool read_string(std::string_view name, std::optional<std::string_view>& text) {
    if (index.token() == '"') {
      const auto fault = index.take_string(text.emplace());
      return fault == JsonFault::kNone || malformed(fault);
    }
    if (take_null()) return true;
    return reject(RejectReason::kWrongType, fmt::format("`{}` must be a string", name));
  }

  bool read_structured(std::string_view bytes) {
    if (const auto fault = index.build(bytes); fault != JsonFault::kNone) return malformed(fault);
    if (const auto fault = index.root_object(); fault != JsonFault::kNone) {
      if (fault != JsonFault::kType) return malformed(fault);
      return reject(RejectReason::kNotCloudEvent, "the value is not a JSON object");
    }
    index.enter_object();
    const auto read = [&](std::string_view name, NameHead head) {
      return read_member(name, head, bytes.size());
    };
    if (!for_each_member(read)) return false;
    if (!index.at_end()) {
      return reject(RejectReason::kMalformedJson, "there is more after the event's closing brace");
    }
    if (!require_all()) return false;
    if (deferred_data == nullptr) return true;
    index.go_to(deferred_data);
    if (!read_data(bytes.size())) return false;
    // What is no JSON can be walked to another end when it is read: none of it is data.
    return index.place() == deferred_end || malformed(JsonFault::kStructure);
  }

  // Passed over as it would be read, so that the verdict does not depend on the members' order.
  bool defer_data() {
    deferred_data = index.place();
    if (index.token() != '{') return true;
    if (const auto fault = index.pass_object(); fault != JsonFault::kNone) return malformed(fault);
    deferred_end = index.place();
    return true;
  }

  bool read_header(const runtime::kafka::Header& header) {
    if (!header.name.starts_with("ce_")) return true;
    const std::string_view name = header.name.substr(3);
    const Member member = member_of(name, head_of(name));
    if (member > Member::kTime) return true;
    if (!is_utf8(header.value)) {
      return reject(RejectReason::kInvalidUtf8,
                    fmt::format("the header `ce_{}` is not valid UTF-8", name));
    }
    if (member == Member::kTime) return set_time(header.value);
    if (member == Member::kSpecversion) return set_specversion(header.value);
    return set_attribute(attribute_of(member), header.value);
  }

  bool read_binary(const Record& record) {
    const auto read = [this](const auto& header) { return read_header(header); };
    if (!std::all_of(record.headers.begin(), record.headers.end(), read)) return false;
    seen_data = true;
    if (!require_all()) return false;
    if (const auto fault = index.build(record.value); fault != JsonFault::kNone) {
      return malformed(fault);
    }
    if (const auto fault = index.root_object(); fault != JsonFault::kNone) {
      if (fault != JsonFault::kType) return malformed(fault);
      return reject(RejectReason::kDataNotObject, "`data` must be a JSON object");
    }
    if (!within_limit(record.value.size())) return false;
    if (event.plan == nullptr) return true;
    index.enter_object();
    if (!walk(event.plan->roots)) return false;
    if (index.at_end()) return true;
    return reject(RejectReason::kMalformedJson, "there is more after the data's closing brace");
  }
};

namespace {

bool is_binary_mode(const Record& record) {
  bool has_specversion = false;
  for (const auto& header : record.headers) {
    if (header.name == "content-type" && header.value.starts_with("application/cloudevents"))
      return false;
    if (header.name == "ce_specversion") has_specversion = true;
  }
  return has_specversion;
}

}  // namespace

Decoder::Decoder(const MeterSet& meters) : impl_(std::make_unique<Impl>(meters)) {}
Decoder::~Decoder() = default;

const DecodedEvent& Decoder::decode(const Record& record) {
  Impl& impl = *impl_;
  impl.start();
  if (record.value.empty()) {
    impl.reject(RejectReason::kEmptyValue, "the record has no value");
  } else if (!record.headers.empty() && is_binary_mode(record)) {
    impl.read_binary(record);
  } else {
    impl.read_structured(record.value);
  }
  return impl.event;
}

}  // namespace tally::aggregator
