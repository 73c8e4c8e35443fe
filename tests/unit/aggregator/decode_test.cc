#include "aggregator/decode.h"

#include "core/limits.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {
namespace {

core::Meter meter(std::string slug, std::string type, core::JsonPath value) {
  core::Meter meter;
  meter.slug = std::move(slug);
  meter.event_type = std::move(type);
  meter.value = std::move(value);
  return meter;
}

// Slots in order: tokens, model, usage/cached, usage/detail/cost, flag.
MeterSet bench_meters() {
  core::Meter tokens = meter("tokens", "llm", {"tokens"});
  tokens.group_by = {{"model", {"model"}}};
  core::Meter cached = meter("tokens_cached", "llm", {"usage", "cached"});
  core::Meter cost = meter("tokens_cost", "llm", {"usage", "detail", "cost"});
  cost.where = {{{"flag"}, core::FilterKind::kIn, {true}}};
  return {{tokens, cached, cost}, core::CatalogueVersion(1), core::CatalogueVersion(1)};
}

std::string text_of(const Slot& slot) {
  switch (slot.kind) {
    case SlotKind::kAbsent:
      return "-";
    case SlotKind::kString:
      return "'" + std::string(slot.text) + "'";
    case SlotKind::kNumber:
      return std::string(slot.text);
    case SlotKind::kTrue:
      return "true";
    case SlotKind::kFalse:
      return "false";
    case SlotKind::kNull:
      return "null";
    case SlotKind::kComposite:
      return "{}";
  }
  return "?";
}

// A reject's reason, or "slot slot …", or "no plan".
std::string text_of(const DecodedEvent& event) {
  if (event.reject != RejectReason::kNone) {
    EXPECT_FALSE(event.detail.empty()) << to_string(event.reject);
    return std::string(to_string(event.reject));
  }
  EXPECT_TRUE(event.detail.empty()) << event.detail;
  if (event.plan == nullptr) return "no plan";
  std::string text;
  for (const Slot& slot : event.slots) text += (text.empty() ? "" : " ") + text_of(slot);
  return text;
}

class DecodeTest : public ::testing::Test {
 protected:
  using Headers = std::vector<runtime::kafka::Header>;

  const DecodedEvent& decode(std::string_view value, const Headers& headers = {}) {
    runtime::kafka::Record record;
    record.value = value;
    record.headers = headers;
    return decoder_.decode(record);
  }
  std::string outcome(std::string_view value, const Headers& headers = {}) {
    return text_of(decode(value, headers));
  }
  // A whole event with this `data`.
  std::string of_data(std::string_view data) { return outcome(envelope("llm", data)); }
  // A whole event where `data` stands before `type`.
  std::string of_early_data(std::string_view data) {
    return outcome(
        fmt::format(R"({{"data":{},"specversion":"1.0","id":"r1","source":"api","type":"llm",)"
                    R"("subject":"acme"}})",
                    data));
  }
  // An envelope with one member in place of the usual one.
  std::string with(std::string_view member) {
    const std::string name(member.substr(0, member.find(':') + 1));
    std::string event = "{" + std::string(member);
    for (const char* usual : {R"("specversion":"1.0")", R"("id":"r1")", R"("source":"api")",
                              R"("type":"llm")", R"("subject":"acme")", R"("data":{})"}) {
      if (!std::string_view(usual).starts_with(name)) event += std::string(",") + usual;
    }
    return outcome(event + "}");
  }
  static std::string envelope(std::string_view type, std::string_view data) {
    return fmt::format(R"({{"specversion":"1.0","id":"r1","source":"api","type":"{}",)"
                       R"("subject":"acme","data":{}}})",
                       type, data);
  }

  MeterSet meters_ = bench_meters();
  Decoder decoder_{meters_};
};

struct Row {
  const char* given;
  const char* outcome;
};

TEST_F(DecodeTest, ValuesThatMetersRead) {
  const Row rows[] = {
      {R"({})", "- - - - -"},
      {R"({"tokens":12,"model":"a"})", "12 'a' - - -"},
      {R"({"model":"a","tokens":12})", "12 'a' - - -"},
      {R"({"tokens":-12.5e-3 ,"flag" : true})", "-12.5e-3 - - - true"},
      {R"({"tokens":"12","flag":false})", "'12' - - - false"},
      {R"({"tokens":null,"model":null})", "null null - - -"},
      {R"({"tokens":[1,2],"model":{}})", "{} {} - - -"},
      {R"({"usage":{"cached":1,"detail":{"cost":2,"x":[{}]}}})", "- - 1 2 -"},
      {R"({"usage":{"detail":{"cost":2},"cached":1},"tokens":3})", "3 - 1 2 -"},
      {R"({"usage":7})", "- - - - -"},
      {R"({"usage":{"detail":[1]}})", "- - - - -"},
      {R"({"unread":{"tokens":9,"usage":{}},"tokens":1})", "1 - - - -"},
      // escaped keys and values are the same keys and values
      {R"({"t\u006fkens":1,"model":"\u0061\n\"\\\/\ud83d\ude00"})",
       "1 'a\n\"\\/\xf0\x9f\x98\x80' - - -"},
      {R"({"us\u0061ge":{"c\u0061ched":1}})", "- - 1 - -"},
      // numbers keep their text, however wild
      {R"({"tokens":1e999999999999})", "1e999999999999 - - - -"},
      {R"({"tokens":123456789012345678901234567890.000})",
       "123456789012345678901234567890.000 - - - -"},
      // a repeated member that a meter reads
      {R"({"tokens":1,"tokens":1})", "duplicate_attribute"},
      {R"({"tokens":1,"t\u006fkens":2})", "duplicate_attribute"},
      {R"({"usage":{"cached":1,"cached":2}})", "duplicate_attribute"},
      {R"({"usage":{"cached":1},"usage":{}})", "duplicate_attribute"},
      // not JSON
      {R"({"tokens":NaN})", "malformed_json"},
      {R"({"tokens":Infinity})", "malformed_json"},
      {R"({"tokens":tru})", "malformed_json"},
      {R"({"flag":nul})", "malformed_json"},
      {R"({"model":"\x"})", "malformed_json"},
      {R"({"model":"\ud800"})", "malformed_json"},
      {R"({"model":"\udc00"})", "malformed_json"},
      {R"({"model":"\ud800\u0041"})", "malformed_json"},
      {R"({"tokens" 1})", "malformed_json"},
      {R"({"tokens":1 "model":2})", "malformed_json"},
      {R"({tokens:1})", "malformed_json"},
      {"{\"model\":\"a\nb\"}", "malformed_json"},
      {"{\"model\":\"\xff\"}", "invalid_utf8"},
      {"{\"model\":\"\xed\xa0\x80\"}", "invalid_utf8"},
      {"{\"unread\":\"\xc0\xaf\"}", "invalid_utf8"},
      // not an object
      {"[]", "data_not_object"},
      {"\"{}\"", "data_not_object"},
      {"null", "data_not_object"},
      {"7", "data_not_object"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(of_data(row.given), row.outcome) << row.given;
    EXPECT_EQ(of_early_data(row.given), row.outcome) << "data before type: " << row.given;
  }
}

TEST_F(DecodeTest, Envelopes) {
  const Row rows[] = {
      {R"("id":"r1")", "- - - - -"},
      {R"("type":"email")", "no plan"},
      {R"("type":"ll\u006d")", "- - - - -"},
      {R"("i\u0064":"r2")", "duplicate_attribute"},
      {R"("extension":{"any":["thing",null]})", "- - - - -"},
      {R"("time":"2026-11-21T08:00:00.123456789+01:00")", "- - - - -"},
      {R"("id":"")", "missing_attribute"},
      {R"("id":null)", "missing_attribute"},
      {R"("time":null)", "- - - - -"},
      {R"("id":7)", "wrong_type"},
      {R"("id":{})", "wrong_type"},
      {R"("id":["r1"])", "wrong_type"},
      {R"("source":true)", "wrong_type"},
      {R"("type":[])", "wrong_type"},
      {R"("subject":1e3)", "wrong_type"},
      {R"("subject":"\u0000")", "wrong_type"},
      {R"("subject":"a\u001fb")", "wrong_type"},
      {R"("subject":"\udc00")", "malformed_json"},
      {R"("id":"\ud800")", "malformed_json"},
      {R"("specversion":"0.3")", "unsupported_specversion"},
      {R"("specversion":1.0)", "wrong_type"},
      {R"("time":5)", "wrong_type"},
      {R"("time":"")", "bad_time"},
      {R"("time":"yesterday")", "bad_time"},
      {R"("time":"2026-02-30T00:00:00Z")", "bad_time"},
      {R"("time":"2026-11-21 08:00:00Z")", "bad_time"},
      {R"("time":"1969-12-31T23:59:59Z")", "bad_time"},
      {R"("time":"1970-12-31T23:59:59.999999Z")", "bad_time"},
      {R"("time":"1971-01-01T00:00:00+00:01")", "bad_time"},
      {R"("time":"9999-01-01T00:00:00Z")", "bad_time"},
      {R"("data_base64":"e30=")", "data_not_object"},
      {R"("id":"r1","id":"r1")", "duplicate_attribute"},
      {R"("specversion":"1.0","specversion":"1.0")", "duplicate_attribute"},
      {R"("data":{},"data":{})", "duplicate_attribute"},
      {R"("time":"2026-11-21T08:00:00Z","time":"2026-11-21T08:00:00Z")", "duplicate_attribute"},
  };
  for (const Row& row : rows) EXPECT_EQ(with(row.given), row.outcome) << row.given;
}

TEST_F(DecodeTest, AnEscapedDataBeforeTypeIsData) {
  EXPECT_EQ(outcome(R"({"d\u0061ta":{"tokens":4},"specversion":"1.0","id":"r1","source":"api",)"
                    R"("type":"llm","subject":"acme"})"),
            "4 - - - -");
}

TEST_F(DecodeTest, WhatIsNoEventAtAll) {
  const Row rows[] = {
      {"", "empty_value"},
      {" ", "malformed_json"},
      {"hello", "not_a_cloudevent"},
      {"42", "not_a_cloudevent"},
      {"[]", "not_a_cloudevent"},
      {R"([{"specversion":"1.0"}])", "not_a_cloudevent"},
      {"{}", "not_a_cloudevent"},
      {R"({"id":"r1","source":"a","type":"llm","subject":"x","data":{}})", "not_a_cloudevent"},
      {R"({"specversion":"1.0"})", "missing_attribute"},
      {R"({"specversion":"1.0","id":"r1","source":"a","type":"llm","data":{}})",
       "missing_attribute"},
      {R"({"specversion":"1.0","id":"r1","source":"a","type":"llm","subject":"x"})",
       "data_not_object"},
      {"{", "malformed_json"},
      {"}", "not_a_cloudevent"},
      {"\xff\xfe", "invalid_utf8"},
  };
  for (const Row& row : rows) EXPECT_EQ(outcome(row.given), row.outcome) << row.given;
}

TEST_F(DecodeTest, EveryTruncationIsAReject) {
  const std::string event = envelope("llm", R"({"tokens":12,"usage":{"cached":1},"model":"a b"})");
  ASSERT_EQ(outcome(event), "12 'a b' 1 - -");
  for (std::size_t size = 0; size < event.size(); ++size) {
    EXPECT_NE(decode(event.substr(0, size)).reject, RejectReason::kNone) << event.substr(0, size);
  }
}

TEST_F(DecodeTest, WhatFollowsTheEventIsAReject) {
  const std::string event = envelope("llm", R"({"tokens":12})");
  EXPECT_EQ(outcome(event + " \r\n\t"), "12 - - - -");
  for (const char* rest : {"x", "{}", ",", "}", "null", "\"\"", "1"}) {
    EXPECT_EQ(outcome(event + rest), "malformed_json") << rest;
  }
  EXPECT_EQ(outcome(event + std::string(1, '\0')), "malformed_json");
}

TEST_F(DecodeTest, AttributesAreBounded) {
  const std::pair<const char*, std::size_t> attributes[] = {{"id", core::kMaxRequestIdBytes},
                                                            {"source", core::kMaxSourceBytes},
                                                            {"type", core::kMaxEventTypeBytes},
                                                            {"subject", core::kMaxTenantIdBytes}};
  for (const auto& [name, limit] : attributes) {
    const std::string fits(limit, 'x');
    EXPECT_NE(with(fmt::format(R"("{}":"{}")", name, fits)), "attribute_too_long") << name;
    EXPECT_EQ(with(fmt::format(R"("{}":"{}x")", name, fits)), "attribute_too_long") << name;
  }
}

TEST_F(DecodeTest, DataIsBoundedAt64KiB) {
  const auto of_size = [](std::size_t bytes) {
    return R"({"tokens":1,"x":")" + std::string(bytes - 19, 'x') + "\"}";
  };
  ASSERT_EQ(of_size(100).size(), 100U);
  EXPECT_EQ(of_data(of_size(core::kMaxDataBytes)), "1 - - - -");
  EXPECT_EQ(of_early_data(of_size(core::kMaxDataBytes)), "1 - - - -");
  EXPECT_EQ(of_data(of_size(core::kMaxDataBytes + 1)), "data_too_large");
  EXPECT_EQ(of_early_data(of_size(core::kMaxDataBytes + 1)), "data_too_large");
  // A large record whose data is small is not at fault.
  EXPECT_EQ(with(R"("x":")" + std::string(100'000, 'x') + "\""), "- - - - -");
}

// White space between data and what follows it counted as data: a record that the producer's codec
// accepts was rejected at the limit.
TEST_F(DecodeTest, WhiteSpaceBehindDataIsNotData) {
  const std::string largest = R"({"x":")" + std::string(core::kMaxDataBytes - 8, 'x') + "\"}";
  ASSERT_EQ(largest.size(), core::kMaxDataBytes);
  EXPECT_EQ(of_data(largest + " \n"), "- - - - -");
  EXPECT_EQ(of_early_data(largest + " \n"), "- - - - -");
}

// A data_base64 of null rejected the record, though a null member counts as absent and the
// producer's codec accepts it.
TEST_F(DecodeTest, ANullDataBase64IsAbsent) {
  EXPECT_EQ(with(R"("data_base64":null)"), "- - - - -");
  EXPECT_EQ(with(R"("data_base64":nul)"), "data_not_object");
}

// The byte that an earlier record left behind the end of a later one changed the later one's
// reason, so that a replay after a restart kept another text.
TEST_F(DecodeTest, WhatStoodBehindTheEndDoesNotMatter) {
  const std::string fresh = decode("{}}").detail;
  EXPECT_EQ(outcome("}}l}"), "not_a_cloudevent");
  EXPECT_EQ(decode("{}}").detail, fresh);
}

TEST_F(DecodeTest, RecordsOfOneMegabyte) {
  EXPECT_EQ(of_data("{\"tokens\":1,\"x\":\"" + std::string(1'000'000, 'x') + "\"}"),
            "data_too_large");
  EXPECT_EQ(of_data(std::string(1'000'000, '[')), "data_not_object");
  EXPECT_EQ(of_data("{\"unread\":" + std::string(30'000, '[') + std::string(30'000, ']') +
                    ",\"tokens\":1}"),
            "1 - - - -");
  EXPECT_EQ(outcome(std::string(1'000'000, '{')), "malformed_json");
  EXPECT_EQ(outcome(std::string(1'000'000, ' ')), "malformed_json");
  EXPECT_EQ(outcome(std::string(1'000'000, '\0')), "not_a_cloudevent");
  EXPECT_EQ(of_data("{\"tokens\":" + std::string(60'000, '9') + "}"),
            std::string(60'000, '9') + " - - - -");
  // And the decoder is as good as before.
  EXPECT_EQ(of_data("{\"tokens\":1}"), "1 - - - -");
}

TEST_F(DecodeTest, BinaryMode) {
  const Headers envelope_headers = {{"ce_specversion", "1.0"}, {"ce_id", "r1"},
                                    {"ce_source", "api"},      {"ce_type", "llm"},
                                    {"ce_subject", "acme"},    {"ce_time", "2026-11-21T08:00:00Z"}};
  EXPECT_EQ(outcome(R"({"tokens":12})", envelope_headers), "12 - - - -");
  const DecodedEvent& event = decode(R"({"tokens":12})", envelope_headers);
  EXPECT_EQ(event.id, "r1");
  EXPECT_EQ(event.source, "api");
  EXPECT_EQ(event.type, "llm");
  EXPECT_EQ(event.subject, "acme");
  EXPECT_EQ(core::to_rfc3339(event.time.value()), "2026-11-21T08:00:00Z");

  const auto with_header = [&](std::string_view name, std::string_view value) {
    Headers headers = envelope_headers;
    for (auto& header : headers) {
      if (header.name == name) {
        header.value = value;
        return headers;
      }
    }
    headers.push_back({name, value});
    return headers;
  };
  const struct {
    const char* name;
    const char* value;
    const char* outcome;
  } rows[] = {
      {"content-type", "application/json", "- - - - -"},
      {"ce_extension", "x", "- - - - -"},
      {"tracestate", "\xff\xfe", "- - - - -"},  // nobody's business here
      {"ce_type", "email", "no plan"},
      {"ce_specversion", "0.3", "unsupported_specversion"},
      {"ce_id", "", "missing_attribute"},
      {"ce_id", "\xff", "invalid_utf8"},
      {"ce_id", "a\tb", "wrong_type"},
      {"ce_time", "noon", "bad_time"},
      // the value is a structured event all the same when its content type says so
      {"content-type", "application/cloudevents+json; charset=UTF-8", "not_a_cloudevent"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(outcome("{}", with_header(row.name, row.value)), row.outcome)
        << row.name << "=" << row.value;
  }
  Headers twice = envelope_headers;
  twice.push_back({"ce_id", "r1"});
  EXPECT_EQ(outcome("{}", twice), "duplicate_attribute");
  for (std::size_t i = 1; i < 5; ++i) {
    Headers missing = envelope_headers;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(outcome("{}", missing), "missing_attribute") << envelope_headers[i].name;
  }
}

TEST_F(DecodeTest, BinaryModesDataIsJudgedAlike) {
  const Headers headers = {{"ce_specversion", "1.0"},
                           {"ce_id", "r1"},
                           {"ce_source", "api"},
                           {"ce_type", "llm"},
                           {"ce_subject", "acme"}};
  const Row rows[] = {
      {"", "empty_value"},
      {"[]", "data_not_object"},
      {"7", "data_not_object"},
      {R"({"tokens":1)", "malformed_json"},
      {R"({"tokens":1}})", "malformed_json"},
      {R"({"tokens":1}{})", "malformed_json"},
      {R"({"tokens":1,"tokens":1})", "duplicate_attribute"},
      {"{\"model\":\"\xff\"}", "invalid_utf8"},
  };
  for (const Row& row : rows) EXPECT_EQ(outcome(row.given, headers), row.outcome) << row.given;
  EXPECT_EQ(outcome(R"({"x":")" + std::string(core::kMaxDataBytes, 'x') + "\"}", headers),
            "data_too_large");
}

TEST_F(DecodeTest, StructuredModeIgnoresOtherHeaders) {
  EXPECT_EQ(outcome(envelope("llm", "{}"), {{"content-type", "application/cloudevents+json"}}),
            "- - - - -");
  EXPECT_EQ(outcome(envelope("llm", "{}"), {{"ce_id", "other"}, {"x", "\xff"}}), "- - - - -");
}

TEST_F(DecodeTest, WhatCouldBeReadStaysInAReject) {
  const DecodedEvent& event = decode(
      R"({"specversion":"1.0","id":"r1","source":"api","subject":"acme","type":"llm","data":[]})");
  EXPECT_EQ(event.reject, RejectReason::kDataNotObject);
  EXPECT_EQ(event.subject, "acme");
  EXPECT_EQ(event.id, "r1");
  // And nothing of it is left in the next one.
  EXPECT_TRUE(decode("[]").subject.empty());
}

TEST_F(DecodeTest, DuplicatesAreSeenHoweverManyMembersAreRead) {
  std::vector<core::Meter> many;
  for (int i = 0; i < 100; ++i)
    many.push_back(meter(fmt::format("m{}", i), "wide", {fmt::format("v{}", i)}));
  const MeterSet meters(many, core::CatalogueVersion(1), core::CatalogueVersion(1));
  Decoder decoder(meters);
  runtime::kafka::Record record;
  for (const int repeated : {0, 63, 64, 99}) {
    const std::string event =
        envelope("wide", fmt::format(R"({{"v{}":1,"v{}":2}})", repeated, repeated));
    record.value = event;
    EXPECT_EQ(text_of(decoder.decode(record)), "duplicate_attribute") << repeated;
  }
}

}  // namespace
}  // namespace tally::aggregator
