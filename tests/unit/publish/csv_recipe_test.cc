// A CSV row and its mapping to an event.
#include "producer/publish/csv_recipe.h"

#include "core/usage_event.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace tally::producer::publish {
namespace {

constexpr std::string_view kMap = R"({
  "id": {"columns": ["day", "seq"]},
  "time": {"column": "at", "format": "unix"},
  "subject": "customer",
  "type": {"constant": "llm.completion"},
  "source": {"constant": "/import"},
  "data": {
    "usage.tokens": {"column": "tokens", "as": "number"},
    "usage.cost": {"column": "cost", "as": "number", "optional": true},
    "cached": {"column": "cached", "as": "bool"},
    "note": "note"
  }
})";
constexpr std::string_view kHeader =
    "\xef\xbb\xbf"
    "day,seq,at,customer,tokens,cost,cached,note";

std::string with(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

std::string mapping_problem(const std::string& json) {
  const auto mapping = parse_mapping(json);
  return mapping ? "" : mapping.error().message;
}

CsvRecipe recipe_of(std::string_view json) {
  auto mapping = parse_mapping(json);
  EXPECT_TRUE(mapping) << mapping.error().message;
  return {std::move(mapping.value()), ','};
}

// The message of a row, or what is wrong with it.
std::string made(std::string_view row) {
  CsvRecipe recipe = recipe_of(kMap);
  const auto header = recipe.header(kHeader);
  EXPECT_TRUE(header) << header.error().message;
  Record record;
  record.text = row;
  Message message;
  const auto result = recipe.make(record, message);
  if (!result) return result.error().message;
  const auto event = core::parse_structured(message.value);
  EXPECT_TRUE(event) << event.error().message;
  EXPECT_EQ(event.value().id, message.key);
  return std::string(message.value);
}

TEST(CsvRecipe, MakesTheEventWithItsNumbersAsTheyStand) {
  EXPECT_EQ(
      made("2026-11-21,7,1795248000.25,acme,0.123456789012,-1e3,TRUE,\"a \"\"b\"\"\nc\""),
      R"({"specversion":"1.0","id":"2026-11-21|7","source":"/import","type":"llm.completion",)"
      R"("subject":"acme","time":"2026-11-21T08:00:00.250000Z",)"
      R"("datacontenttype":"application/json",)"
      R"("data":{"usage":{"tokens":0.123456789012,"cost":-1e3},"cached":true,)"
      R"("note":"a \"b\"\u000ac"}})");
  // An optional one that is empty is left out; an empty text is a text.
  EXPECT_NE(made("d,1,1795248000,acme,5,,0,")
                .find(R"("data":{"usage":{"tokens":5},"cached":false,"note":""})"),
            std::string::npos);
}

TEST(CsvRecipe, JoinedIdsDifferWhereTheColumnsDo) {
  const auto id = [](const std::string& row) {
    const auto event = core::parse_structured(made(row));
    return event ? event.value().id : "";
  };
  EXPECT_EQ(id("a|,b,1795248000,acme,5,,0,"), "a%7C|b");
  EXPECT_EQ(id("a,|b,1795248000,acme,5,,0,"), "a|%7Cb");
  EXPECT_EQ(id("a%7C,b,1795248000,acme,5,,0,"), "a%257C|b");
}

TEST(CsvRecipe, NamesTheColumnOfABadRow) {
  EXPECT_EQ(made("d,1,1795248000,acme,1 000,,0,"),
            "column tokens: `1 000` is no number: it is written as 12 or -0.5");
  EXPECT_EQ(made("d,1,1795248000,acme,,,0,"),
            "column tokens: `` is empty: give a value, or say that it is optional");
  EXPECT_EQ(made("d,1,1795248000,acme,1000000000000000001,,0,"),
            "column tokens: `1000000000000000001` is beyond 10^18, the limit of a value");
  EXPECT_EQ(made("d,1,1795248000,acme,1,,maybe,"),
            "column cached: `maybe` is no bool: it is true, false, 1 or 0");
  EXPECT_EQ(made("d,1,2026-11-21,acme,1,,0,"),
            "column at (time): `2026-11-21` is no time: seconds since 1970 is wanted");
  EXPECT_EQ(made("d,1,1795248000,,1,,0,"),
            "column customer (subject) is missing or empty: give 1 to 128 bytes");
  EXPECT_EQ(made(",,1795248000,acme,1,,0,"),
            "column day and seq (id) is missing or empty: give 1 to 256 bytes");
  EXPECT_EQ(made("d,1,1795248000,acme,1,,0"), "the row has 7 columns, the header has 8");
  EXPECT_NE(made("d,1,1795248000,acme,1,,0,5\" disk").find("column note: a quote"),
            std::string::npos);
  EXPECT_NE(made("d,1,1795248000,acme,1,,0,\xff").find("column note: `?` is not UTF-8"),
            std::string::npos);
}

TEST(CsvRecipe, NamesAColumnThatTheHeaderLacksAndThoseThatItHas) {
  CsvRecipe recipe = recipe_of(kMap);
  const auto lacking = recipe.header("day,seq,at,customer,tokens,cost,note");
  ASSERT_FALSE(lacking);
  EXPECT_EQ(lacking.error().message,
            "the header has no column \"cached\", which the mapping names; it has day, seq, at, "
            "customer, tokens, cost, note");
  const auto twice = recipe.header("day,seq,at,customer,tokens,cost,cached,note,day");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "the header has two columns \"day\": rename one");
}

TEST(Mapping, NamesTheMemberThatIsWrong) {
  const std::string good(kMap);
  EXPECT_EQ(mapping_problem(good), "");
  EXPECT_EQ(mapping_problem(with(good, "\"subject\"", "\"tenant\"")),
            "\"the mapping\" has a member \"tenant\": known are $schema, id, time, subject, type, "
            "source, data");
  EXPECT_NE(mapping_problem(R"({"time":"t"})").find("\"id\" is missing"), std::string::npos);
  EXPECT_NE(mapping_problem(with(good, R"({"columns": ["day", "seq"]})", R"({"constant": "x"})"))
                .find("\"id\" names the column"),
            std::string::npos);
  EXPECT_NE(mapping_problem(with(good, R"("format": "unix")", R"("format": "unixx")"))
                .find("`unixx` is no format of times"),
            std::string::npos);
  EXPECT_NE(mapping_problem(with(good, R"("as": "bool")", R"("as": "boolean")"))
                .find("\"data.cached\" has an \"as\""),
            std::string::npos);
  EXPECT_NE(mapping_problem(with(good, "\"cached\":", "\"usage\":"))
                .find("data \"usage\" is taken by another field"),
            std::string::npos);
}

TEST(Mapping, TheExampleOfTheSchemaIsOne) {
  std::ifstream file(std::string(TALLY_SCHEMAS) + "/csv/example.json");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(mapping_problem(text.str()), "");
}

TEST(TimeFormat, ReadsTimesAsOtherProgramsWriteThem) {
  const auto read = [](std::string_view format, std::string_view text) {
    const auto known = TimeFormat::of(format);
    EXPECT_TRUE(known) << known.error().message;
    const auto time = known.value().read(text);
    return time ? core::to_rfc3339(time.value()) : "bad";
  };
  EXPECT_EQ(read("rfc3339", "2026-11-21T10:00:00+02:00"), "2026-11-21T08:00:00Z");
  EXPECT_EQ(read("unix", "1795248000.000001"), "2026-11-21T08:00:00.000001Z");
  EXPECT_EQ(read("unix", "-1"), "bad");
  EXPECT_EQ(read("unix-ms", "1795248000250.5"), "2026-11-21T08:00:00.250500Z");
  EXPECT_EQ(read("unix-ms", "9e37"), "bad");
  EXPECT_EQ(read("clf", "21/Nov/2026:10:00:00 +0200"), "2026-11-21T08:00:00Z");
  EXPECT_EQ(read("%Y-%m-%d %H:%M:%E*S", "2026-11-21 08:00:00.5"), "2026-11-21T08:00:00.500000Z");
  EXPECT_EQ(read("%Y-%m-%d", "21/11/2026"), "bad");
}

// A header may be anything: its bytes went to the terminal as they stood.
TEST(CsvRecipe, AHeaderIsShownSafelyAndInPart) {
  std::string head = "\x1b[31m" + std::string(1'000, 'x');
  for (int i = 0; i < 30; ++i) head += ",c" + std::to_string(i);
  auto mapping = parse_mapping(R"({"id":"id","time":"t","subject":{"constant":"acme"},)"
                               R"("type":{"constant":"t"},"source":{"constant":"/s"},"data":{}})");
  ASSERT_TRUE(mapping) << mapping.error().message;
  CsvRecipe recipe(std::move(mapping.value()), ',');
  const auto refused = recipe.header(head);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find('\x1b'), std::string::npos);
  EXPECT_LT(refused.error().message.size(), 300U);
  EXPECT_NE(refused.error().message.find("c18 and 11 more"), std::string::npos)
      << refused.error().message;
}

TEST(NdjsonRecipe, AByteOrderMarkBeforeTheFirstEventIsPassedOver) {
  const std::string event =
      R"({"specversion":"1.0","id":"a","source":"/s","type":"t","subject":"acme","data":{}})";
  const std::string marked = "\xef\xbb\xbf" + event;
  NdjsonRecipe recipe;
  Message message;
  Record record;
  record.text = marked;
  ASSERT_TRUE(recipe.make(record, message));
  EXPECT_EQ(message.value, event);
  record.offset = 1;
  EXPECT_FALSE(recipe.make(record, message));
}

}  // namespace
}  // namespace tally::producer::publish
