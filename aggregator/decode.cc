#include "aggregator/decode.h"

#include "core/check.h"
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

using runtime::kafka::Record;
using simdjson::ondemand::value;

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

// Eight bytes at a time: a byte below 0x20 borrows into its high bit, unless that was set before.
bool has_control_character(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101ULL;
  while (text.size() >= sizeof(std::uint64_t)) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, text.data(), sizeof(bytes));
    if (((bytes - kOnes * 0x20) & ~bytes & (kOnes * 0x80)) != 0) return true;
    text.remove_prefix(sizeof(bytes));
  }
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

// The member's name. Nearly every name is written as it is: only one with an escape is unescaped.
simdjson::error_code name_of(simdjson::ondemand::field& field, std::string_view& name) {
  const char* const begin = field.key().raw();
  const char* end = begin;
  while (*end != '"' && *end != '\\') ++end;  // the parser has found the closing quote
  if (*end == '\\') return field.unescaped_key().get(name);
  name = std::string_view(begin, static_cast<std::size_t>(end - begin));
  return simdjson::SUCCESS;
}

const Attribute* attribute_named(std::string_view name) {
  const auto* const found = std::find_if(kAttributes.begin(), kAttributes.end(),
                                         [&](const Attribute& a) { return a.name == name; });
  return found == kAttributes.end() ? nullptr : found;
}

enum class Member : std::uint8_t { kOther, kAttribute, kSpecversion, kTime, kDataBase64, kData };

// By its length, which tells all but `time`, `type` and `data` apart.
Member member_of(std::string_view name) {
  switch (name.size()) {
    case 2:
    case 6:
    case 7:
      return attribute_named(name) != nullptr ? Member::kAttribute : Member::kOther;
    case 4:
      if (name == "type") return Member::kAttribute;
      if (name == "time") return Member::kTime;
      return name == "data" ? Member::kData : Member::kOther;
    case 11:
      if (name == "specversion") return Member::kSpecversion;
      return name == "data_base64" ? Member::kDataBase64 : Member::kOther;
    default:
      return Member::kOther;
  }
}

bool at_end(simdjson::ondemand::document& document) {
  const char* rest = nullptr;
  return document.current_location().get(rest) != simdjson::SUCCESS;
}

std::string_view trimmed(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
                            token.back() == '\t')) {
    token.remove_suffix(1);
  }
  return token;
}

}  // namespace

std::string_view to_string(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNone:
      return "none";
    case RejectReason::kEmptyValue:
      return "empty_value";
    case RejectReason::kMalformedJson:
      return "malformed_json";
    case RejectReason::kInvalidUtf8:
      return "invalid_utf8";
    case RejectReason::kNotCloudEvent:
      return "not_a_cloudevent";
    case RejectReason::kUnsupportedSpecversion:
      return "unsupported_specversion";
    case RejectReason::kMissingAttribute:
      return "missing_attribute";
    case RejectReason::kDuplicateAttribute:
      return "duplicate_attribute";
    case RejectReason::kWrongType:
      return "wrong_type";
    case RejectReason::kAttributeTooLong:
      return "attribute_too_long";
    case RejectReason::kBadTime:
      return "bad_time";
    case RejectReason::kDataNotObject:
      return "data_not_object";
    case RejectReason::kDataTooLarge:
      return "data_too_large";
    case RejectReason::kTimeInFuture:
      return "time_in_future";
    case RejectReason::kValueMissing:
      return "value_missing";
    case RejectReason::kValueNotANumber:
      return "value_not_a_number";
    case RejectReason::kValueOutOfRange:
      return "value_out_of_range";
    case RejectReason::kValueNegative:
      return "value_negative";
    case RejectReason::kValueNotScalar:
      return "value_not_scalar";
    case RejectReason::kDimensionNotScalar:
      return "dimension_not_scalar";
    case RejectReason::kDimensionTooLong:
      return "dimension_too_long";
  }
  return "unknown";
}

struct Decoder::Impl {
  explicit Impl(const MeterSet& set) : meters(set) {}

  const MeterSet& meters;
  simdjson::ondemand::parser parser;
  std::vector<char> padded;
  std::vector<Slot> slots;
  std::array<std::string, kAttributes.size()> kept;  // envelope strings across a rewind
  DecodedEvent event;
  bool seen_specversion = false;
  bool seen_time = false;
  bool seen_data = false;
  bool data_deferred = false;

  bool reject(RejectReason reason, std::string detail) {
    event.reject = reason;
    event.detail = std::move(detail);
    return false;
  }

  bool malformed(simdjson::error_code error) {
    if (error == simdjson::UTF8_ERROR) {
      return reject(RejectReason::kInvalidUtf8, "the value is not valid UTF-8");
    }
    return reject(RejectReason::kMalformedJson, simdjson::error_message(error));
  }

  void start() {
    event = DecodedEvent{};
    seen_specversion = seen_time = seen_data = data_deferred = false;
  }

  simdjson::padded_string_view pad(std::string_view bytes) {
    if (padded.size() < bytes.size() + simdjson::SIMDJSON_PADDING) {
      padded.resize(std::max<std::size_t>(4096, 2 * (bytes.size() + simdjson::SIMDJSON_PADDING)));
    }
    std::memcpy(padded.data(), bytes.data(), bytes.size());
    // simdjson looks at the byte behind the end: it must not be one of an earlier record.
    std::memset(padded.data() + bytes.size(), 0, simdjson::SIMDJSON_PADDING);
    return simdjson::padded_string_view(padded.data(), bytes.size(), padded.size());
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
    if (text != "1.0")
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

  bool fill_slot(value& member, Slot& slot) {
    simdjson::ondemand::json_type kind{};
    if (const auto error = member.type().get(kind)) return malformed(error);
    switch (kind) {
      case simdjson::ondemand::json_type::string:
        slot.kind = SlotKind::kString;
        if (const auto error = member.get_string().get(slot.text)) return malformed(error);
        return true;
      case simdjson::ondemand::json_type::number:
        slot.kind = SlotKind::kNumber;
        slot.text = trimmed(member.raw_json_token());
        return true;
      case simdjson::ondemand::json_type::boolean: {
        bool truth = false;
        if (const auto error = member.get_bool().get(truth)) return malformed(error);
        slot.kind = truth ? SlotKind::kTrue : SlotKind::kFalse;
        return true;
      }
      case simdjson::ondemand::json_type::null: {
        bool null = false;
        if (const auto error = member.is_null().get(null)) return malformed(error);
        if (!null) return malformed(simdjson::N_ATOM_ERROR);
        slot.kind = SlotKind::kNull;
        return true;
      }
      default:
        slot.kind = SlotKind::kComposite;
        return true;
    }
  }

  bool walk(simdjson::ondemand::object object, const std::vector<PathNode>& nodes) {
    std::array<std::uint64_t, kMaxNodes / 64> seen;  // only the words that `nodes` needs are set
    std::fill_n(seen.begin(), (nodes.size() + 63) / 64, 0);
    for (auto result : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(result).get(field)) return malformed(error);
      std::string_view key;
      if (const auto error = name_of(field, key)) return malformed(error);
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i].key != key) continue;
        const std::uint64_t bit = 1ULL << (i % 64);
        if ((seen.at(i / 64) & bit) != 0) {
          return reject(RejectReason::kDuplicateAttribute,
                        fmt::format("`data` has `{}` twice", key));
        }
        seen.at(i / 64) |= bit;
        if (!visit(field.value(), nodes[i])) return false;
        break;
      }
    }
    return true;
  }

  bool visit(value member, const PathNode& node) {
    if (node.slot != kNoSlot && !fill_slot(member, slots[node.slot])) return false;
    if (node.children.empty()) return true;
    simdjson::ondemand::json_type kind{};
    if (const auto error = member.type().get(kind)) return malformed(error);
    if (kind != simdjson::ondemand::json_type::object) return true;  // its children are absent
    simdjson::ondemand::object inner;
    if (const auto error = member.get_object().get(inner)) return malformed(error);
    return walk(inner, node.children);
  }

  template <class JsonValue>
  bool read_data(JsonValue&& data, std::size_t record_bytes) {
    simdjson::ondemand::object object;
    if (const auto error = data.get_object().get(object)) {
      if (error != simdjson::INCORRECT_TYPE) return malformed(error);
      return reject(RejectReason::kDataNotObject, "`data` must be a JSON object");
    }
    if (record_bytes > core::kMaxDataBytes) {
      std::string_view raw;
      if (const auto error = object.raw_json().get(raw)) return malformed(error);
      raw = trimmed(raw);  // it runs up to what follows data
      if (raw.size() > core::kMaxDataBytes) {
        return reject(
            RejectReason::kDataTooLarge,
            fmt::format("`data` has {} bytes, the limit is {}", raw.size(), core::kMaxDataBytes));
      }
      if (const auto error = object.reset().error()) return malformed(error);
    }
    return event.plan == nullptr || walk(object, event.plan->roots);
  }

  bool read_member(std::string_view key, value member, std::size_t record_bytes) {
    std::optional<std::string_view> text;
    const auto read = [&](auto&& set) {
      return read_string(key, member, text) && (!text || set());
    };
    switch (member_of(key)) {
      case Member::kOther:
        return true;
      case Member::kAttribute:
        return read([&] { return set_attribute(*attribute_named(key), *text); });
      case Member::kSpecversion:
        return read([&] { return set_specversion(*text); });
      case Member::kTime:
        return read([&] { return set_time(*text); });
      case Member::kDataBase64:
        if (is_null(member)) return true;
        return reject(RejectReason::kDataNotObject,
                      "`data_base64` is not read: put a JSON object into `data`");
      case Member::kData:
        if (std::exchange(seen_data, true)) {
          return reject(RejectReason::kDuplicateAttribute, "`data` appears twice");
        }
        data_deferred = event.type.empty();
        return data_deferred || read_data(member, record_bytes);
    }
    return true;
  }

  // CloudEvents' JSON format reads null as an attribute that is not there.
  static bool is_null(value& member) {
    bool null = false;
    return member.is_null().get(null) == simdjson::SUCCESS && null;
  }

  // nullopt: null.
  bool read_string(std::string_view key, value& member, std::optional<std::string_view>& text) {
    const auto error = member.get_string().get(text.emplace());
    if (error == simdjson::SUCCESS) return true;
    text.reset();
    if (error == simdjson::INCORRECT_TYPE && is_null(member)) return true;
    if (error == simdjson::INCORRECT_TYPE) {
      return reject(RejectReason::kWrongType, fmt::format("`{}` must be a string", key));
    }
    return malformed(error);
  }

  bool read_structured(std::string_view bytes) {
    simdjson::ondemand::document document;
    if (const auto error = parser.iterate(pad(bytes)).get(document)) return malformed(error);
    simdjson::ondemand::object object;
    if (const auto error = document.get_object().get(object)) {
      if (error != simdjson::INCORRECT_TYPE) return malformed(error);
      return reject(RejectReason::kNotCloudEvent, "the value is not a JSON object");
    }
    for (auto result : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(result).get(field)) return malformed(error);
      std::string_view key;
      if (const auto error = name_of(field, key)) return malformed(error);
      if (!read_member(key, field.value(), bytes.size())) return false;
    }
    if (!at_end(document)) {
      return reject(RejectReason::kMalformedJson, "there is more after the event's closing brace");
    }
    return require_all() && (!data_deferred || read_deferred(document, bytes.size()));
  }

  // `data` stood before `type`: once more from the start, now that the type's plan is known.
  bool read_deferred(simdjson::ondemand::document& document, std::size_t record_bytes) {
    for (std::size_t i = 0; i < kAttributes.size(); ++i) {
      kept.at(i) = event.*kAttributes.at(i).field;
      event.*kAttributes.at(i).field = kept.at(i);
    }
    document.rewind();
    simdjson::ondemand::object object;
    if (const auto error = document.get_object().get(object)) return malformed(error);
    for (auto result : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(result).get(field)) return malformed(error);
      std::string_view key;
      if (const auto error = name_of(field, key)) return malformed(error);
      if (key == "data") return read_data(field.value(), record_bytes);
    }
    TALLY_CHECK(false, "`data` was there in the first pass");
  }

  bool read_header(const runtime::kafka::Header& header) {
    if (!header.name.starts_with("ce_")) return true;
    const std::string_view name = header.name.substr(3);
    const Member member = member_of(name);
    if (member != Member::kAttribute && member != Member::kSpecversion && member != Member::kTime)
      return true;
    if (!simdjson::validate_utf8(header.value.data(), header.value.size())) {
      return reject(RejectReason::kInvalidUtf8,
                    fmt::format("the header `ce_{}` is not valid UTF-8", name));
    }
    if (member == Member::kAttribute) return set_attribute(*attribute_named(name), header.value);
    return member == Member::kTime ? set_time(header.value) : set_specversion(header.value);
  }

  bool read_binary(const Record& record) {
    const auto read = [this](const auto& header) { return read_header(header); };
    if (!std::all_of(record.headers.begin(), record.headers.end(), read)) return false;
    seen_data = true;
    if (!require_all()) return false;
    simdjson::ondemand::document document;
    if (const auto error = parser.iterate(pad(record.value)).get(document)) return malformed(error);
    if (!read_data(document, record.value.size())) return false;
    if (event.plan == nullptr || at_end(document)) return true;
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
