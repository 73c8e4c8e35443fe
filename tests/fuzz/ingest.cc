// What `tally-producer serve` lets through beside the aggregator's decoder, which reads JSON by
// code of its own: of the very text and headers that are sent, the aggregator accepts all, under
// the same id, and a key that is bound to a tenant sends no other one's.
#include "aggregator/decode.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/usage_event.h"
#include "producer/serve/body_reader.h"
#include "tests/fuzz/meters.h"
#include "tests/fuzz/record_stream.h"
#include "tests/fuzz/target.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::fuzz {
namespace {

using aggregator::DecodedEvent;
using aggregator::RejectReason;
using producer::serve::BodyReader;
using producer::serve::BodyRules;
using producer::serve::ReadEvent;
using runtime::kafka::Header;

constexpr std::string_view kTime = "2026-11-22T08:00:00Z";
constexpr std::size_t kMaxEvents = 8;

// Reads the same body again, by other rules.
using Read = std::function<void(BodyReader&, const BodyRules&)>;

bool is_taken(const BodyReader& body) { return body.problems().empty() && !body.too_many(); }

// Of what is sent. Lives until the next call.
const DecodedEvent& decoded(const ReadEvent& event, std::string& room) {
  static aggregator::Decoder decoder(*fixed_meters());
  static const std::vector<Header> kHeaders = {{"content-type", "application/cloudevents+json"}};
  runtime::kafka::Record record;
  record.key = event.id;
  record.headers = kHeaders;
  record.value = stamped(event, kTime, room);
  return decoder.decode(record);
}

void check_event(const ReadEvent& event) {
  std::string room;
  const DecodedEvent& read = decoded(event, room);
  const std::string_view sent = stamped(event, kTime, room);
  TALLY_CHECK(read.reject == RejectReason::kNone, "{}: {}", read.detail, sent);
  TALLY_CHECK(read.id == event.id, "`{}`, not `{}`", read.id, event.id);
  TALLY_CHECK(read.time.has_value(), "{}", sent);
  TALLY_CHECK(event.has_time || read.time == core::parse_rfc3339(kTime).value(), "{}", sent);
  TALLY_CHECK(sent.size() + event.id.size() <= core::kMaxRecordBytes);
}

// The key that is bound to `tenant` is told of the first event that the aggregator would count for
// somebody else, and of none where there is no such event.
void check_bound(const Read& read, const std::string& tenant,
                 const std::vector<std::string>& tenants) {
  static BodyReader bound;
  read(bound, {.max_events = kMaxEvents, .tenant = tenant});
  TALLY_CHECK(is_taken(bound) && bound.events().size() == tenants.size());
  const auto other =
      std::find_if(tenants.begin(), tenants.end(), [&](const auto& one) { return one != tenant; });
  if (other == tenants.end()) {
    TALLY_CHECK(!bound.of_other_tenant(), "{}", tenant);
  } else {
    const auto index = static_cast<std::size_t>(other - tenants.begin());
    TALLY_CHECK(bound.of_other_tenant() == index, "event {} is of `{}`, not of `{}`", index, *other,
                tenant);
  }
}

void check(const Read& read) {
  static BodyReader body;
  read(body, {.max_events = kMaxEvents, .tenant = {}});
  for (const ReadEvent& event : body.events()) check_event(event);
  if (!is_taken(body) || body.events().empty()) return;
  std::vector<std::string> tenants;
  std::string room;
  for (const ReadEvent& event : body.events()) tenants.emplace_back(decoded(event, room).subject);
  check_bound(read, tenants.front(), tenants);
  check_bound(read, tenants.back(), tenants);
  check_bound(read, tenants.front() + "x", tenants);
}

// CloudEvents' HTTP binding, 3.1.3.2, by the sentences of the specification.
std::string attribute_of_header(std::string_view value) {
  const bool quoted = value.size() > 1 && value.front() == '"' && value.back() == '"';
  std::string text;
  const std::string_view inner = quoted ? value.substr(1, value.size() - 2) : value;
  const auto hex = [](char c) { return std::string_view("0123456789abcdef").find(c | 0x20); };
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (quoted && inner[i] == '\\' && i + 1 < inner.size()) {
      text += inner[++i];
      continue;
    }
    const std::string_view two = inner.substr(i + 1, 2);
    if (inner[i] == '%' && two.size() == 2 && hex(two[0]) < 16 && hex(two[1]) < 16) {
      text += static_cast<char>(hex(two[0]) * 16 + hex(two[1]));
      i += 2;
      continue;
    }
    text += inner[i];
  }
  return text;
}

void check_same(const DecodedEvent& a, const DecodedEvent& b) {
  TALLY_CHECK(a.reject == RejectReason::kNone && b.reject == RejectReason::kNone, "{}{}", a.detail,
              b.detail);
  TALLY_CHECK(a.id == b.id && a.source == b.source && a.type == b.type && a.subject == b.subject);
  TALLY_CHECK(a.plan == b.plan && (!a.time || a.time == b.time));
  TALLY_CHECK(std::equal(a.slots.begin(), a.slots.end(), b.slots.begin(), b.slots.end(),
                         [](const aggregator::Slot& x, const aggregator::Slot& y) {
                           return x.kind == y.kind && x.text == y.text;
                         }));
}

// The same event in Kafka's binary mode, which the decoder reads by other code again.
void check_as_binary_record(const StreamRecord& given, const ReadEvent& event) {
  std::vector<std::string> texts;
  texts.reserve(given.headers.size());  // the headers below point into it
  runtime::kafka::Record record;
  std::vector<Header> headers;
  for (const Header& header : given.headers) {
    texts.push_back(attribute_of_header(header.value));
    headers.push_back({header.name, texts.back()});
  }
  record.headers = headers;
  record.value = given.value;
  aggregator::Decoder decoder(*fixed_meters());
  std::string room;
  check_same(decoder.decode(record), decoded(event, room));
}

bool is_lower(std::string_view name) {
  return std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

// The first record of the input: headers, an empty line, data.
void check_binary(std::string_view input) {
  const StreamRecord given = read_stream(input).front();
  runtime::http::Headers headers;
  bool is_plain = !given.headers.empty();
  for (const Header& header : given.headers) {
    std::string name(header.name);
    is_plain = is_plain && name.starts_with("ce_") && is_lower(name);
    if (name.starts_with("ce_")) name[2] = '-';
    headers.add(name, header.value);
  }
  check([&](BodyReader& body, const BodyRules& rules) {
    body.read_binary(headers, given.value, rules);
  });
  static BodyReader body;
  body.read_binary(headers, given.value, {.max_events = 1, .tenant = {}});
  if (is_plain && is_taken(body)) check_as_binary_record(given, body.events().front());
}

}  // namespace

void one_input(std::string_view input) {
  check([&](BodyReader& body, const BodyRules& rules) { body.read_event(input, rules); });
  check([&](BodyReader& body, const BodyRules& rules) { body.read_batch(input, rules); });
  check([&](BodyReader& body, const BodyRules& rules) { body.read_lines(input, rules); });
  check_binary(input);
}

}  // namespace tally::fuzz
