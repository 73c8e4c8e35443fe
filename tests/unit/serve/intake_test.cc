#include "tests/unit/serve/rig.h"

#include <gmock/gmock.h>

#include <set>

namespace tally::producer::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Taking : public IntakeTest {};

TEST_F(Taking, AnEventGoesThroughAsItCame) {
  const std::string spaced =
      " {\n\"specversion\" : \"1.0\", \"id\":\"a\",\"source\":\"/s\",\"type\":"
      "\"t\",\"subject\":\"acme\",\"time\":\"2026-11-22T07:00:00Z\",\"data\":"
      "{\"n\": 0.100000000000000000001e2 } }\n";
  for (const char* type : {"application/cloudevents+json", "application/json",
                           "Application/CloudEvents+JSON; charset=utf-8"}) {
    EXPECT_EQ(ask(post(type, spaced)).status, 202);
  }
  const auto taken = script_.taken();
  ASSERT_EQ(taken.size(), 3U);
  for (const Taken& one : taken) {
    EXPECT_EQ(one.key, "a");
    EXPECT_EQ(one.value, spaced.substr(1, spaced.size() - 2));
  }
}

TEST_F(Taking, ABatchIsItsEvents) {
  EXPECT_EQ(ask(post_batch({event("a"), event("b"), event("c")})).status, 202);
  EXPECT_THAT(sent(), ElementsAre(event("a"), event("b"), event("c")));
}

TEST_F(Taking, LinesAreEventsAndEmptyOnesAreNone) {
  EXPECT_EQ(ask(post("application/x-ndjson", event("a") + "\r\n\n" + event("b"))).status, 202);
  EXPECT_THAT(sent(), ElementsAre(event("a"), event("b")));
}

TEST_F(Taking, AnIdIsTheKeyWithItsEscapesResolved) {
  EXPECT_EQ(ask(post_batch({event("a\\u0041\\/"), event("b\\n"), event("c")})).status, 422);
  EXPECT_EQ(ask(post_batch({event("a\\u0041\\/"), event("\\u0062"), event("c")})).status, 202);
  const auto taken = script_.taken();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].key, "aA/");
  EXPECT_EQ(taken[1].key, "b");
  EXPECT_EQ(taken[0].value, event("a\\u0041\\/"));
}

TEST_F(Taking, WithoutATimeTheMomentOfAcceptanceIsStamped) {
  const std::string before = R"({"specversion":"1.0","id":"a","source":"/s","type":"t",)";
  const std::string after = R"("subject":"acme","data":{"time":null}})";
  EXPECT_EQ(ask(post_one(before + after)).status, 202);
  EXPECT_EQ(ask(post_one(before + "\"time\" : null , " + after)).status, 202);
  EXPECT_THAT(sent(), ElementsAre(R"({"time":"2026-11-22T08:00:00Z",)" + before.substr(1) + after,
                                  before + R"("time" : "2026-11-22T08:00:00Z" , )" + after));
}

TEST_F(Taking, TheAnswerComesWhenTheLastEventIsKept) {
  script_.set_ends(Script::Ends::kWhenTold);
  Asked asked = start(post_batch({event("a"), event("b")}));
  script_.wait_for_taken(2);
  script_.end(1);
  EXPECT_EQ(intake_->in_flight().requests(), 1U);
  EXPECT_EQ(asked.answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  script_.end(1);
  EXPECT_EQ(wait(asked).status, 202);
  EXPECT_EQ(intake_->in_flight().requests(), 0U);
  EXPECT_EQ(intake_->in_flight().events(), 0U);
}

Request binary(std::string body) {
  Request request = post("application/json", std::move(body));
  request.headers.set("ce-specversion", "1.0");
  request.headers.set("CE-Id", "a%22%20b+c");
  request.headers.set("ce-source", "\"/s%20\\\"x\\\"\"");
  request.headers.set("ce-type", "t");
  request.headers.set("ce-subject", "Euro%20%E2%82%AC");
  request.headers.set("ce-time", "2026-11-22T07:00:00Z");
  request.headers.set("ce-traceParent", "00-1");
  return request;
}

TEST_F(Taking, BinaryModeBecomesAStructuredEvent) {
  EXPECT_EQ(ask(binary("{ \"n\": 1.50 }")).status, 202);
  const auto taken = script_.taken();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].key, "a\" b+c");
  EXPECT_EQ(taken[0].value, R"({"specversion":"1.0","id":"a\" b+c","source":"/s \"x\"","type":"t",)"
                            "\"subject\":\"Euro \xe2\x82\xac\","
                            R"("time":"2026-11-22T07:00:00Z","traceparent":"00-1",)"
                            R"("datacontenttype":"application/json","data":{ "n": 1.50 }})");
}

class Refusing : public IntakeTest {
 protected:
  ~Refusing() override { EXPECT_TRUE(script_.taken().empty()); }
  void expect(const Request& request, int status, std::string_view code, std::string_view detail) {
    const Response response = ask(request);
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_EQ(problem(response).at("code"), code);
    EXPECT_THAT(problem(response).at("detail").get<std::string>(), HasSubstr(detail));
  }
};

TEST_F(Refusing, WhatIsNoJson) {
  expect(post_one(""), 400, "malformed", "event 0: the event is not a JSON object");
  expect(post_one(event("a").substr(0, 60)), 400, "malformed", "at byte 60");
  expect(post_one(event("a") + event("b")), 400, "malformed", "something follows the event");
  expect(post_one(event("a\xff")), 400, "malformed", "the event is not UTF-8");
  expect(post_one(event("a", ",\"x\":" + std::string(100'000, '['))), 400, "malformed",
         "nested deeper than 64");
  expect(post_batch({event("a"), event("b").substr(0, 50)}), 400, "malformed", "event 1: ");
  expect(post_batch({event("a"), event("\xc3(")}), 400, "malformed",
         "event 1: the event is not UT");
  expect(post("application/cloudevents-batch+json", event("a")), 400, "malformed",
         "the batch is not a JSON array: expected an array at byte 0");
  expect(post("application/cloudevents-batch+json", "[" + event("a") + "]x"), 400, "malformed",
         "something follows the batch");
  expect(post("application/cloudevents-batch+json", "[" + event("a") + event("b")), 400,
         "malformed", "event 1: the batch is not a JSON array: expected a comma");
  expect(post("application/x-ndjson", event("a") + "\n{"), 400, "malformed", "event 1: ");
}

TEST_F(Refusing, EveryEventThatBreaksARuleIsNamed) {
  const Response response = ask(post_batch({
      event("a"),
      event(""),
      event("b", ",\"subject\":\"again\""),
      "7",
      event(std::string(257, 'x')),
      event("c"),
      event("d", ",\"data_base64\":\"\""),
  }));
  EXPECT_EQ(response.status, 422);
  const auto problems = problem(response).at("problems");
  ASSERT_EQ(problems.size(), 5U);
  EXPECT_EQ(problems[0], nlohmann::json::parse(R"({"index":1,"field":"id",
      "detail":"id is missing or empty: give 1 to 256 bytes"})"));
  EXPECT_EQ(problems[1], nlohmann::json::parse(R"({"index":2,"field":"subject",
      "detail":"subject stands twice: send it once"})"));
  EXPECT_EQ(problems[2].at("index"), 3);
  EXPECT_EQ(problems[3], nlohmann::json::parse(R"({"index":4,"field":"id","limit":256,
      "detail":"id has 257 bytes, the limit is 256: shorten it"})"));
  EXPECT_EQ(problems[4].at("index"), 6);
}

TEST_F(Refusing, OfManyProblemsTheFirstHundredAreNamed) {
  const std::vector<std::string> many(150, event(""));
  const Response response = ask(post_batch(many));
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(problem(response).at("problems").size(), 100U);
  EXPECT_THAT(problem(response).at("detail").get<std::string>(), HasSubstr("there may be more"));
}

// A client whose file was empty was told that every event is kept.
TEST_F(Refusing, ABodyWithoutAnyEvent) {
  expect(post_batch({}), 422, "invalid_events", "no event in the body");
  for (const char* lines : {"", "\n", "\r\n\n"}) {
    expect(post("application/x-ndjson", lines), 422, "invalid_events", "no event in the body");
  }
}

TEST_F(Refusing, AnIdIsNeverMadeUp) {
  expect(post_one(R"({"specversion":"1.0","source":"/s","type":"t","subject":"a","data":{}})"), 422,
         "invalid_events", "id is missing or empty");
}

TEST_F(Refusing, AnEventThatTheTopicWouldNotTake) {
  const std::string pad = ",\"x\":\"" + std::string(core::kMaxServedEventBytes, 'x') + "\"";
  expect(post_one(event("a", pad)), 422, "invalid_events", "the limit is 1044480");
}

TEST_F(Refusing, BinaryModeOfBadHeadersOrData) {
  expect(binary("[]"), 422, "invalid_events", "data is not a JSON object");
  expect(binary("{\"a\":"), 400, "malformed",
         "data is not a JSON object: expected a value at byte");
  expect(binary(""), 422, "invalid_events", "data is missing");
  Request request = binary("{}");
  request.headers.set("ce-id", "");
  expect(request, 422, "invalid_events", "id is missing or empty");
  request = binary("{}");
  request.headers.add("ce-id", "second");
  expect(request, 422, "invalid_events", "id stands twice");
  request = binary("{}");
  request.headers.set("ce-subject", "%ff");
  expect(request, 422, "invalid_events", "subject is not UTF-8");
  request = binary("{}");
  request.headers.set("ce-my_own", "x");
  expect(request, 422, "invalid_events", "ce-my_own is no attribute");
  request = binary("{}");
  request.headers.set("ce-data", "x");
  expect(request, 422, "invalid_events", "ce-data is no attribute");
}

TEST_F(Refusing, OtherTypesMethodsAndPaths) {
  expect(post("text/plain", event("a")), 415, "unsupported_media_type", "set Content-Type to");
  expect(post("", event("a")), 415, "unsupported_media_type", "set Content-Type to");
  Request request = post_one(event("a"));
  request.headers.set("Content-Encoding", "gzip");
  expect(request, 415, "unsupported_media_type", "uncompressed");
  request = post_one(event("a"));
  request.method = "PUT";
  expect(request, 405, "method_not_allowed", "POST");
  request = post_one(event("a"));
  request.target = "/v1/event";
  expect(request, 404, "not_found", "/v1/events");
}

// Before the body came: without a key nobody has memory taken for one.
TEST_F(Refusing, ByItsHeadAlone) {
  open({}, "the token");
  const auto status = [this](Request head) {
    head.body.clear();
    head.headers.set("Content-Length", "8388607");
    const auto refused = intake_->admit(head);
    return refused ? refused->status : 0;
  };
  Request request = post_one(event("a"));
  EXPECT_EQ(status(request), 401);
  EXPECT_EQ(status(post("text/plain", "x")), 401);
  request.method = "PUT";
  EXPECT_EQ(status(request), 405);
  request.target = "/";
  EXPECT_EQ(status(request), 404);
  request = post("text/plain", "x");
  request.headers.set("X-API-Key", "the token");
  EXPECT_EQ(status(request), 415);
  request = post_one(event("a"));
  request.headers.set("X-API-Key", "the token");
  EXPECT_EQ(status(request), 0);
}

TEST_F(Refusing, ABodyOfAPathThatIsOnlyRead) {
  Request request;
  request.target = "/openapi.json";
  request.headers.set("Content-Length", "1");
  expect(request, 413, "too_large", "this path takes no body");
  request.headers.clear();
  request.headers.set("Transfer-Encoding", "chunked");
  expect(request, 413, "too_large", "this path takes no body");
}

TEST_F(Refusing, MoreThanABatch) {
  open({.max_batch = 2});
  expect(post_batch({event("a"), event("b"), event("c")}), 413, "too_large", "more than 2 events");
  expect(post("application/x-ndjson", event("a") + "\n" + event("b") + "\n" + event("c")), 413,
         "too_large", "more than 2 events");
}

TEST_F(Refusing, WithoutAKey) {
  open({}, "the token");
  Request request = post_one(event("a"));
  expect(request, 401, "unauthorized", "Authorization: Bearer");
  for (const char* wrong : {"Bearer the toke", "Bearer ", "Basic the token", "the token"}) {
    request.headers.set("Authorization", wrong);
    expect(request, 401, "unauthorized", "Authorization: Bearer");
  }
}

// One would be taken, and another reader of the request would take the other.
TEST_F(Refusing, SeveralKeys) {
  open({}, "the token");
  const std::pair<const char*, const char*> right = {"X-API-Key", "the token"};
  const std::pair<const char*, const char*> bearer = {"Authorization", "Bearer the token"};
  const std::pair<const char*, const char*> basic = {"authorization", "Basic the token"};
  const std::pair<const char*, const char*> wrong = {"x-api-key", "another"};
  const std::pair<const char*, const char*> empty = {"X-API-Key", ""};
  for (const auto& [first, second] :
       {std::pair(wrong, right), std::pair(right, right), std::pair(empty, right),
        std::pair(bearer, right), std::pair(bearer, wrong), std::pair(bearer, empty),
        std::pair(basic, right), std::pair(bearer, bearer)}) {
    Request request = post_one(event("a"));
    request.headers.add(first.first, first.second);
    request.headers.add(second.first, second.second);
    expect(request, 400, "bad_request", "give one key");
  }
}

TEST_F(Refusing, TheKeyOfAnotherTenant) {
  const auto keys = make_keys({"other", "acme"});
  Request request = post_batch({event("a"), event("b")});
  request.headers.set("Authorization", "Bearer " + keys[0]);
  expect(request, 403, "other_tenant", "event 0: ");
  // Each event is looked at, not the first alone.
  std::string of_other = event("b");
  of_other.replace(of_other.find("acme"), 4, "evil");
  request = post_batch({event("a"), of_other});
  request.headers.set("Authorization", "Bearer " + keys[1]);
  expect(request, 403, "other_tenant", "event 1: ");
  request = post("application/x-ndjson", event("a") + "\n" + of_other);
  request.headers.set("X-API-Key", keys[1]);
  expect(request, 403, "other_tenant", "event 1: ");
  request = binary("{}");
  request.headers.set("X-API-Key", keys[1]);
  expect(request, 403, "other_tenant", "event 0: ");
}

// What the server itself refuses is told in the same form, under its own status.
TEST_F(Refusing, WhatTheServerRefusesHasACodeOfItsOwn) {
  const Request request = post_one("");
  for (const int status : {400, 408, 413, 414, 417, 429, 431, 500, 501, 503}) {
    const Response response = refuse_by_server(status, "a sentence");
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(undocumented(request, response), "") << response.body;
    EXPECT_EQ(problem(response).at("detail"), "a sentence");
  }
}

class Keyed : public IntakeTest {
 protected:
  // That of a request's body.
  std::shared_ptr<runtime::http::BytesReceiving> account_of(const std::string& key) {
    Request request = post_one("");
    request.headers.set("X-API-Key", key);
    EXPECT_FALSE(intake_->admit(request));
    return request.account;
  }
};

TEST_F(Keyed, AKeyOrTheTokenMaySend) {
  open({}, "the token");
  const auto keys = make_keys({"*", "acme"});
  for (const std::string& key : {keys[0], keys[1], std::string("the token")}) {
    Request request = post_one(event("a"));
    request.headers.set("authorization", "bearer " + key);
    EXPECT_EQ(ask(request).status, 202);
    request = post_one(event("a"));
    request.headers.set("x-api-key", key);
    EXPECT_EQ(ask(request).status, 202);
  }
  Request request = binary("{}");
  request.headers.set("ce-subject", "ac%6de");
  request.headers.set("X-API-Key", keys[1]);
  EXPECT_EQ(ask(request).status, 202);
}

// The file may lose the key while the body arrives: what was let in stays the sender's.
TEST_F(Keyed, WhoWasLetInStaysTheSender) {
  const auto keys = make_keys({"other"});
  Request request = post_one(event("a"));
  request.headers.set("X-API-Key", keys[0]);
  ASSERT_FALSE(intake_->admit(request));
  write_keys("");
  std::promise<Response> answer;
  intake_->handle(request, Reply([&answer](Response response) { answer.set_value(response); }));
  EXPECT_EQ(answer.get_future().get().status, 403);
}

// Of what arrives; the token is the operator's own.
TEST_F(Keyed, EachTenantHasAnAccount) {
  open({}, "the token");
  const auto keys = make_keys({"*", "*", "acme", "other", "acme"});
  // Of a key that may send every tenant's events: its own.
  std::set<std::shared_ptr<runtime::http::BytesReceiving>> accounts;
  for (std::size_t i = 0; i < 4; ++i) accounts.insert(account_of(keys[i]));
  EXPECT_EQ(accounts.size(), 4U);
  EXPECT_FALSE(accounts.contains(nullptr));
  EXPECT_EQ(account_of(keys[0]), account_of(keys[0]));
  EXPECT_EQ(account_of(keys[4]), account_of(keys[2]));
  EXPECT_EQ(account_of("the token"), nullptr);
}

TEST_F(Keyed, ATenantKeepsItsAccountWhenItsKeyIsReplaced) {
  const auto before = account_of(make_keys({"acme"})[0]);
  EXPECT_NE(before, nullptr);
  EXPECT_EQ(account_of(make_keys({"acme"})[0]), before);
}

TEST_F(Keyed, TheDocumentIsForEverybody) {
  open({}, "the token");
  Request request;
  request.target = "/openapi.json";
  EXPECT_EQ(ask(request).status, 200);
  request.headers.set("Content-Length", "0");
  EXPECT_EQ(ask(request).status, 200);
  request.method = "DELETE";
  EXPECT_EQ(ask(request).status, 405);
}

}  // namespace
}  // namespace tally::producer::serve
