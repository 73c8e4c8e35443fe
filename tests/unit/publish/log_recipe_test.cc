// A line of a log and its pattern to an event.
#include "producer/publish/log_recipe.h"

#include "core/usage_event.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace tally::producer::publish {
namespace {

constexpr std::string_view kLine =
    R"(192.0.2.1 - acme [21/Nov/2026:10:00:00 +0200] "GET /v1/models?key=secret HTTP/1.1" 200 512 )"
    R"("https://example.org/" "curl/8")";

LogOptions combined() {
  LogOptions options;
  options.pattern = kCombinedPattern;
  options.time_format = TimeFormat::of("clf").value();
  options.type = "api.request";
  options.source = "/nginx";
  options.numbers = {"status", "bytes"};
  return options;
}

LogOptions with_pattern(const std::string& pattern) {
  LogOptions options;
  options.pattern = pattern;
  options.tenant = "acme";
  options.type = "t";
  options.source = "/s";
  return options;
}

std::string problem_of(LogOptions options) {
  const auto recipe = LogRecipe::make_from(std::move(options));
  return recipe ? "" : recipe.error().message;
}

// The event of a line at that offset in a file with that first line; what is wrong, or `unmatched`.
std::string made(LogOptions options, std::string_view line, std::uint64_t offset = 0,
                 const std::string& first_line = std::string(kLine)) {
  const auto recipe = LogRecipe::make_from(std::move(options));
  EXPECT_TRUE(recipe) << recipe.error().message;
  const FileMark file{2, first_line + "\nmore"};
  Record record;
  record.text = line;
  record.offset = offset;
  record.file = &file;
  Message message;
  const auto result = recipe.value()->make(record, message);
  if (!result) return result.error().message;
  return result.value() == Made::kMessage ? std::string(message.value) : "unmatched";
}

std::string id_of(const std::string& event) {
  const auto parsed = core::parse_structured(event);
  return parsed ? parsed.value().id : event;
}

TEST(LogRecipe, TheCombinedFormatBecomesAnEventWithoutSecretsOfItsQuery) {
  const std::string event = made(combined(), kLine, 77);
  const std::string id = id_of(event);
  EXPECT_EQ(id.substr(0, 3), "77-");
  EXPECT_EQ(id.size(), 35U);
  EXPECT_EQ(event, R"({"specversion":"1.0","id":")" + id +
                       R"(","source":"/nginx","type":"api.request","subject":"acme",)"
                       R"("time":"2026-11-21T08:00:00Z","datacontenttype":"application/json",)"
                       R"("data":{"method":"GET","path":"/v1/models","status":200,"bytes":512}})");
  // The common format, and no bytes.
  EXPECT_NE(made(combined(), R"(::1 - acme [21/Nov/2026:10:00:00 +0200] "GET / HTTP/1.1" 304 -)")
                .find(R"("status":304}})"),
            std::string::npos);
}

TEST(LogRecipe, AnIdIsThatOfTheLineAtItsPlaceInItsFile) {
  const std::string id = id_of(made(combined(), kLine, 77));
  EXPECT_EQ(id_of(made(combined(), kLine, 77)), id);
  EXPECT_NE(id_of(made(combined(), kLine, 78)), id);
  EXPECT_NE(id_of(made(combined(), kLine, 77, "another first line")), id);
  EXPECT_NE(id_of(made(combined(), std::string(kLine) + "x", 77)), id);
  LogOptions other_host = combined();
  other_host.id_prefix = "web-2.";
  EXPECT_EQ(id_of(made(std::move(other_host), kLine, 77)), "web-2." + id);
}

TEST(LogRecipe, ALineWithoutAMatchOrATenantIsCountedOrWrong) {
  const std::string nobody = R"(::1 - - [21/Nov/2026:10:00:00 +0200] "GET / HTTP/1.1" 200 1)";
  EXPECT_EQ(made(combined(), "nonsense"), "unmatched");
  EXPECT_EQ(made(combined(), nobody), "unmatched");
  LogOptions strict = combined();
  strict.unmatched_is_wrong = true;
  EXPECT_EQ(made(strict, "nonsense"), "the line does not match the pattern");
  EXPECT_EQ(made(strict, nobody), "the line names no tenant");
  LogOptions of_one = combined();
  of_one.tenant = "everybody";
  EXPECT_NE(made(of_one, nobody).find(R"("subject":"everybody")"), std::string::npos);
}

// A single byte in a user agent took the line out of metering, and the verdict was good.
TEST(LogRecipe, ALineThatIsNotUtf8IsRefused) {
  EXPECT_EQ(made(combined(), std::string(kLine) + "\xff").substr(0, 21), "the line is not UTF-8");
  EXPECT_EQ(made(with_pattern("(?P<id>.*)"), "\xe9").substr(0, 21), "the line is not UTF-8");
}

// nginx writes the name that a client gives, whatever the password.
TEST(LogRecipe, WhoeverWasNotAuthorisedIsNoTenant) {
  const std::string line = R"(::1 - acme [21/Nov/2026:10:00:00 +0200] "GET / HTTP/1.1" 401 1)";
  LogOptions preset = combined();
  preset.status_tells_who = true;
  EXPECT_EQ(made(preset, line), "unmatched");
  EXPECT_EQ(id_of(made(preset, kLine)).size(), 34U);
  preset.unmatched_is_wrong = true;
  EXPECT_EQ(made(preset, line), "the request was not authorised");
}

TEST(LogRecipe, GroupsBecomeAttributesAndData) {
  LogOptions options;
  options.pattern =
      "(?P<time>\\d\\S+) (?P<source>\\S+) (?P<type>\\S+) (?P<tenant>\\S+) (?P<id>\\S+)"
      "( tokens=(?P<tokens>\\S+))?";
  options.numbers = {"tokens"};
  EXPECT_EQ(made(options, "x 2026-11-21T08:00:00Z /app llm acme r1 tokens=0.10"),
            R"({"specversion":"1.0","id":"r1","source":"/app","type":"llm","subject":"acme",)"
            R"("time":"2026-11-21T08:00:00Z","datacontenttype":"application/json",)"
            R"("data":{"tokens":0.10}})");
  EXPECT_NE(made(options, "2026-11-21T08:00:00Z /app llm acme r1").find(R"("data":{}})"),
            std::string::npos);
  EXPECT_EQ(made(options, "2026-11-21T08:00:00Z /app llm acme r1 tokens=many"),
            "group tokens: `many` is no number: it is written as 12 or -0.5");
  EXPECT_NE(made(options, "1pm /app llm acme r1").find("group time: `1pm` is no time"),
            std::string::npos);
  EXPECT_NE(made(options, "2026-11-21T08:00:00Z /app llm acme -").find("id is missing"),
            std::string::npos);
}

// Every line was refused, one by one.
TEST(LogRecipe, ATextThatNoEventMayHaveIsRefusedAtTheStart) {
  LogOptions options = with_pattern("(?P<time>.*)");
  options.tenant = std::string(200, 'a');
  EXPECT_NE(problem_of(options).find("tenant"), std::string::npos) << problem_of(options);
  options.tenant = "acme";
  EXPECT_EQ(problem_of(options), "");
  options.id_prefix = std::string(250, 'a');
  EXPECT_NE(problem_of(options).find("id-prefix"), std::string::npos) << problem_of(options);
}

TEST(LogRecipe, SaysWhatAPatternLacks) {
  EXPECT_NE(problem_of(with_pattern("(?P<time>")).find("cannot be read: missing )"),
            std::string::npos);
  EXPECT_NE(problem_of(with_pattern("(?P<user>.*)")).find("neither a group id nor a group time"),
            std::string::npos);
  LogOptions no_type = with_pattern("(?P<id>.*)");
  no_type.type.clear();
  EXPECT_NE(problem_of(no_type).find("the events have no type: give --type, or a group (?P<type>"),
            std::string::npos);
  LogOptions no_group = with_pattern("(?P<id>.*)");
  no_group.numbers = {"tokens"};
  EXPECT_EQ(problem_of(no_group),
            "numbers names `tokens`, and the pattern has no such group; it has id");
}

}  // namespace
}  // namespace tally::producer::publish
