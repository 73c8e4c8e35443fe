// What is sent to endpoints, how it is signed, when it is tried again. Vectors of signatures are
// Stripe's SDK's.
#include "tests/unit/sandbox/billing_fixture.h"
#include "tests/unit/sandbox/state_file_fixture.h"

#include <pthread.h>

#include <map>
#include <set>

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

TEST(SignatureTest, IsThatOfStripesSdk) {
  const auto v1 = [](const std::string& body, const std::string& secret) {
    const std::string header = signature_header(body, {secret}, 1'700'000'000);
    EXPECT_THAT(header, StartsWith("t=1700000000,v1="));
    return header.substr(16, 64);
  };
  EXPECT_EQ(v1(R"({"id":"evt_1","object":"event"})", "whsec_test_secret"),
            "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd");
  EXPECT_EQ(v1("{\"name\":\"caf\xc3\xa9\"}\n", "whsec_test_secret"),
            "7af784a2e9bf9c848cd61627a9b9bc6a32dae47768b836769a3e95ef7d378ce6");
  EXPECT_EQ(v1(R"({"id":"evt_1","object":"event"})", "whsec_old"),
            "9119b75c4afa8bb5f71433cb34179a57aa261c58b80b417f1f537251b0cd38a8");
}

TEST(LocalUrlTest, NothingElseIsEverSentTo) {
  for (const char* url : {"http://127.0.0.1:8080/hook", "http://localhost", "http://[::1]:1/"}) {
    EXPECT_TRUE(is_local_url(url)) << url;
  }
  for (const char* url :
       {"https://127.0.0.1/", "http://127.0.0.1.evil.example/", "http://example.com/",
        "http://localhost@example.com/", "http://localhost:80@example.com/", "http://localhost:x/",
        "http://localhost:0/", "http://localhost:65536/", "http://localhost/a b",
        "http://localhost/\r\nX: y", "http://localhost?x", "http://10.0.0.1/", ""}) {
    EXPECT_FALSE(is_local_url(url)) << url;
  }
}

class WebhooksTest : public BillingTest {
 protected:
  void SetUp() override {
    BillingTest::SetUp();
    endpoint_ = hook(R"({"url":"http://127.0.0.1:9/hook?x=1","secret":"whsec_1"})");
  }
  std::string hook(const std::string& body) {
    const auto made = call("POST", "/sandbox/webhook_endpoints", body);
    EXPECT_EQ(made.status, 200) << made.body;
    return json(made)["id"];
  }
  // What is due now, each answered so.
  std::vector<Outgoing> deliver(int status = 200) {
    std::vector<Outgoing> out;
    std::stop_source stopped;
    stopped.request_stop();
    while (auto one = sandbox_->wait_for_delivery(stopped.get_token())) {
      sandbox_->told_delivery(one->number, status);
      out.push_back(std::move(*one));
    }
    return out;
  }
  static std::vector<std::string> types(const std::vector<Outgoing>& sent) {
    std::vector<std::string> out;
    for (const Outgoing& one : sent) out.push_back(Json::parse(one.body)["type"]);
    return out;
  }
  static bool is_signed(const Outgoing& one, const std::string& secret, std::int64_t at) {
    const std::string good = signature_header(one.body, {secret}, at);
    const std::string v1 = good.substr(good.find("v1="), 67);
    return one.signature.starts_with("t=" + std::to_string(at) + ",") &&
           one.signature.find(v1) != std::string::npos;
  }
  void hook_faults(const std::string& body) {
    const auto taken = call("POST", "/sandbox/webhook_faults", body);
    ASSERT_EQ(taken.status, 200) << taken.body;
  }
  Json states() { return counters()["webhooks"]["states"]; }
  // One event: a customer is made.
  void happen() { post("/v1/customers", "name=n"); }
  std::string endpoint_;
};

TEST_F(WebhooksTest, EventsAreSentSignedInTheirOrder) {
  subscribe();
  const auto sent = deliver();
  EXPECT_THAT(types(sent), testing::ElementsAre("customer.subscription.created", "invoice.created",
                                                "invoice.finalized", "invoice.paid"));
  for (const Outgoing& one : sent) {
    EXPECT_EQ(one.base_url, "http://127.0.0.1:9");
    EXPECT_EQ(one.target, "/hook?x=1");
    EXPECT_TRUE(is_signed(one, "whsec_1", kStart)) << one.signature;
    const Json event = Json::parse(one.body);
    const std::string id = event["id"];
    EXPECT_EQ(get("/v1/events/" + id), event);
    EXPECT_EQ(event["livemode"], false);
    EXPECT_FALSE(event.contains("account")) << "that of the key, not of a connected one";
  }
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(states()["delivered"], 4);
}

TEST_F(WebhooksTest, AnEventSaysWhoseRequestMadeIt) {
  call("POST", "/v1/customers", "name=n", "key-1");
  const Json event = Json::parse(deliver().at(0).body);
  EXPECT_EQ(event["request"]["idempotency_key"], "key-1");
  subscribe();
  deliver();
  now_ = kMonthOn;
  call("GET", "/v1/invoices");
  EXPECT_TRUE(Json::parse(deliver().at(0).body)["request"].is_null());
}

TEST_F(WebhooksTest, WhatIsNotTakenIsTriedAgainWithAFreshTimeAndTheSameBytes) {
  happen();
  const auto first = deliver(500);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_TRUE(deliver().empty()) << "not before its time";
  now_ += 300;
  const auto second = deliver(302);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].body, first[0].body);
  EXPECT_TRUE(is_signed(second[0], "whsec_1", kStart + 300));
  now_ += 1'800;
  EXPECT_EQ(deliver(0).size(), 1U);
  now_ += 7'200;
  EXPECT_EQ(deliver(204).size(), 1U);
  EXPECT_EQ(states()["delivered"], 1);
  const Json row = get("/sandbox/deliveries")["deliveries"][0];
  EXPECT_EQ(row["tries"].size(), 4U);
  EXPECT_EQ(row["tries"][1], (Json{{"at", kStart + 300}, {"status", 302}}));
}

TEST_F(WebhooksTest, AfterThreeDaysItIsGivenUpAndATestAccountTriesThreeTimesMore) {
  const auto tried = [&](const std::string& retries) {
    SetUp();
    set({{"webhook_retries", retries}});
    happen();
    for (int minute = 0; minute < 60 * 24 * 5; minute += 5, now_ += 300) deliver(500);
    const Json row = get("/sandbox/deliveries")["deliveries"][0];
    EXPECT_EQ(row["state"], "given_up");
    std::vector<std::int64_t> ages;
    for (const Json& one : row["tries"]) {
      ages.push_back(one["at"].get<std::int64_t>() - row["created"].get<std::int64_t>());
    }
    return ages;
  };
  EXPECT_EQ(tried("live"), (std::vector<std::int64_t>{0, 300, 2'100, 9'300, 27'300, 63'300, 106'500,
                                                      149'700, 192'900, 236'100}));
  EXPECT_EQ(tried("test"), (std::vector<std::int64_t>{0, 1'200, 4'800, 12'000}));
}

TEST_F(WebhooksTest, EventsAreKeptForThirtyDays) {
  happen();
  const Json event = get("/v1/events")["data"][0];
  now_ += 30 * kDay;
  EXPECT_EQ(get("/v1/events")["data"][0], event);
  now_ += 1;
  EXPECT_EQ(get("/v1/events")["data"], Json::array());
  EXPECT_EQ(call("GET", "/v1/events/" + event["id"].get<std::string>()).status, 404);
}

// A receiver that knows events by their ids alone takes one change twice.
TEST_F(WebhooksTest, ATwinIsAnotherEventOfTheSameChange) {
  hook(R"({"url":"http://localhost:9/thin","thin":true})");
  hook_faults(R"({"kind":"twin","count":2,"value":60})");
  happen();
  const Json first = Json::parse(deliver().at(0).body);
  now_ += 60;
  const Json second = Json::parse(deliver().at(0).body);
  EXPECT_NE(second["id"], first["id"]);
  EXPECT_EQ(second["data"], first["data"]);
  EXPECT_EQ(get("/v1/events/" + second["id"].get<std::string>()), second);
  call("DELETE", "/v1/customers/cus_1");
  event("a", "1");
  now_ += 200;
  const auto sent = deliver();
  ASSERT_EQ(sent.size(), 3U) << "the deleted customer's, twice, and a report";
  hook_faults(R"({"kind":"twin","match":"error_report"})");
  event("b", "1");
  now_ += 20;
  const auto reports = deliver();
  ASSERT_EQ(reports.size(), 2U);
  const Json thin = Json::parse(reports[0].body);
  const Json other = Json::parse(reports[1].body);
  EXPECT_NE(other["id"], thin["id"]);
  const auto data = [&](const Json& of) {
    return get("/v2/core/events/" + of["id"].get<std::string>())["data"];
  };
  EXPECT_EQ(data(other), data(thin));
}

TEST_F(WebhooksTest, ACountIsOfEventsAndNotOfEndpoints) {
  hook(R"({"url":"http://localhost:9/"})");
  hook_faults(R"({"kind":"duplicate"})");
  happen();
  EXPECT_EQ(deliver().size(), 4U);
  happen();
  EXPECT_EQ(deliver().size(), 2U);
}

TEST_F(WebhooksTest, KindsStrikeTogether) {
  hook_faults(R"([{"kind":"stale"},{"kind":"lost"},{"kind":"duplicate","value":7200}])");
  happen();
  EXPECT_TRUE(is_signed(deliver(400).at(0), "whsec_1", now_ - 600));
  now_ += 300;
  EXPECT_EQ(deliver(200).size(), 1U) << "whose answer is lost";
  now_ += 1'800;
  EXPECT_EQ(deliver(200).size(), 1U);
  now_ += 2 * kHour;
  EXPECT_EQ(deliver(200).size(), 1U) << "the duplicate, hours after";
  EXPECT_EQ(states(), (Json{{"delivered", 2}}));
}

TEST_F(WebhooksTest, ARolledSecretSignsBesideTheOldOneForItsTime) {
  const auto rolled = call("POST", "/sandbox/webhook_secret",
                           Json{{"endpoint", endpoint_}, {"secret", "whsec_2"}}.dump());
  EXPECT_EQ(json(rolled)["secret"], "whsec_2");
  happen();
  const Outgoing both = deliver().at(0);
  EXPECT_TRUE(is_signed(both, "whsec_1", kStart));
  EXPECT_TRUE(is_signed(both, "whsec_2", kStart));
  now_ += kDay;
  happen();
  const Outgoing one = deliver().at(0);
  EXPECT_FALSE(is_signed(one, "whsec_1", now_));
  EXPECT_TRUE(is_signed(one, "whsec_2", now_));
  EXPECT_THAT(one.signature, HasSubstr(",v0="));
}

TEST_F(WebhooksTest, AnEndpointGetsTheTypesAndTheVersionItAskedFor) {
  hook(R"({"url":"http://localhost:9/","enabled_events":["customer.subscription.created"],
           "api_version":"2024-06-20"})");
  subscribe();
  const auto sent = deliver();
  int old = 0;
  for (const Outgoing& one : sent) {
    const Json event = Json::parse(one.body);
    if (one.base_url != "http://localhost:9") continue;
    ++old;
    EXPECT_EQ(event["api_version"], "2024-06-20");
    EXPECT_EQ(event["data"]["object"]["current_period_end"], kMonthOn);
  }
  EXPECT_EQ(old, 1);
  EXPECT_EQ(sent.size(), 5U);
}

TEST_F(WebhooksTest, ThinEventsGoToThinEndpointsOnly) {
  hook(R"({"url":"http://localhost:9/thin","thin":true})");
  call("DELETE", "/v1/customers/cus_1");
  deliver();
  event("late", "1", "", "key");
  now_ += 20;
  call("GET", "/v1/invoices");
  const auto sent = deliver();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].target, "/thin");
  const Json thin = Json::parse(sent[0].body);
  EXPECT_EQ(thin["type"], "v1.billing.meter.error_report_triggered");
  EXPECT_FALSE(thin.contains("data"));
  const std::string id = thin["id"];
  EXPECT_EQ(get("/v2/core/events/" + id)["data"]["reason"]["error_count"], 1);
}

// A receiver drops what it knows by its id: two events of one id are one that is lost.
TEST_F(WebhooksTest, NoTwoEventsHaveOneId) {
  hook(R"({"url":"http://localhost:9/thin","thin":true})");
  call("DELETE", "/v1/customers/cus_1");
  for (const std::string identifier : {"a", "b", "c"}) {
    event(identifier, "1");
    now_ += 20;
  }
  deliver();
  std::map<std::string, std::string> types;
  const Json rows = get("/sandbox/deliveries")["deliveries"];
  for (const Json& row : rows) {
    const std::string id = row["event"];
    EXPECT_TRUE(types.try_emplace(id, row["type"]).second) << id;
  }
  EXPECT_EQ(types.size(), 4U) << "a customer and three reports";
  const Json reports = get("/sandbox/notifications")["notifications"];
  for (const Json& thin : reports) {
    const std::string id = thin["id"];
    EXPECT_EQ(call("GET", "/v1/events/" + id).status, 404);
  }
}

// Signed too long ago, and too far ahead.
TEST_F(WebhooksTest, WhatHasTheWrongTimeIsRefusedAndComesAgainFresh) {
  for (const auto& [kind, off] : std::map<std::string, int>{{"stale", -600}, {"future", 600}}) {
    SetUp();
    hook_faults(Json{{"kind", kind}}.dump());
    happen();
    EXPECT_TRUE(is_signed(deliver(400).at(0), "whsec_1", now_ + off)) << kind;
    now_ += 300;
    EXPECT_TRUE(is_signed(deliver().at(0), "whsec_1", now_)) << kind;
    EXPECT_EQ(states(), (Json{{"delivered", 1}})) << kind;
  }
}

TEST_F(WebhooksTest, AReceiverThatLooksAtNoClockIsKnown) {
  for (const std::string kind : {"stale", "future"}) {
    SetUp();
    hook_faults(Json{{"kind", kind}}.dump());
    happen();
    deliver(200);
    EXPECT_EQ(states(), (Json{{"accepted_though_" + kind, 1}}));
    now_ += 4 * kDay;
    EXPECT_TRUE(deliver().empty());
  }
}

// Who is down, or fails on forged bytes, refused nothing.
TEST_F(WebhooksTest, AnAttackIsRefusedByAFourHundredOnly) {
  const std::map<int, std::string> by_status = {{400, "refused"},  {403, "refused"},
                                                {0, "unanswered"}, {500, "failed"},
                                                {302, "failed"},   {204, "accepted_though_forged"}};
  for (const auto& [status, state] : by_status) {
    SetUp();
    hook_faults(R"({"kind":"forged"})");
    happen();
    EXPECT_EQ(deliver(status).size(), 2U);
    EXPECT_EQ(states()[state], 1) << status << " " << states();
  }
}

TEST_F(WebhooksTest, DuplicatesLostAnswersAndLateOnes) {
  hook_faults(R"([{"kind":"duplicate"},{"kind":"lost"}])");
  happen();
  const auto sent = deliver();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].body, sent[1].body);
  now_ += 300;
  EXPECT_EQ(deliver().size(), 1U) << "the lost answer's";
  hook_faults(R"({"kind":"late","value":10,"match":"customer.created"})");
  happen();
  subscribe();
  EXPECT_EQ(types(deliver())[0], "customer.subscription.created") << "overtaken";
  now_ += 10;
  EXPECT_EQ(types(deliver()), std::vector<std::string>{"customer.created"});
}

TEST_F(WebhooksTest, AttacksAreSentOnceAndWhoTakesThemIsKnown) {
  hook_faults(R"([{"kind":"forged"},{"kind":"tampered"},{"kind":"unsigned"}])");
  happen();
  const auto sent = deliver(400);
  ASSERT_EQ(sent.size(), 4U);
  int good = 0;
  for (const Outgoing& one : sent) good += is_signed(one, "whsec_1", kStart) ? 1 : 0;
  EXPECT_EQ(good, 1);
  EXPECT_EQ(states()["refused"], 3);
  hook_faults(R"({"kind":"forged","rate":1})");
  happen();
  deliver(200);
  EXPECT_EQ(states()["accepted_though_forged"], 1);
}

TEST_F(WebhooksTest, FaultsByRateHangOnTheEventAndTheSeedAlone) {
  const auto struck = [&](int seed) {
    SetUp();
    set({{"seed", seed}});
    hook_faults(R"({"kind":"duplicate","rate":0.5})");
    std::string out;
    for (int i = 0; i < 40; ++i) {
      happen();
      out += std::to_string(deliver().size());
    }
    return out;
  };
  const std::string first = struck(1);
  EXPECT_NE(first.find('1'), std::string::npos);
  EXPECT_NE(first.find('2'), std::string::npos);
  EXPECT_EQ(struck(1), first);
  EXPECT_NE(struck(2), first);
}

TEST_F(WebhooksTest, WrongFaultsEndpointsAndSecretsAreRefused) {
  for (const char* wrong :
       {R"({"kind":"none"})", R"({"kind":"stale","count":0})", R"({"kind":"stale","rate":2})",
        R"({"kind":"stale","rate":1,"count":1})", R"({"kind":"stale","cuont":2})",
        R"({"match":"x"})", "1", "{"}) {
    EXPECT_EQ(call("POST", "/sandbox/webhook_faults", wrong).status, 400) << wrong;
  }
  EXPECT_EQ(json(call("GET", "/sandbox/webhook_faults")).size(), 0U);
  EXPECT_EQ(call("POST", "/sandbox/webhook_endpoints", R"({"url":"http://example.com/"})").status,
            400);
  EXPECT_EQ(call("POST", "/sandbox/webhook_secret", R"({"endpoint":"we_none"})").status, 404);
}

TEST_F(WebhooksTest, EndpointsAreMadeAsStripeMakesThem) {
  const Json made = post("/v1/webhook_endpoints",
                         "url=http://127.0.0.1:9/v1&enabled_events[0]=customer.created&enabled_"
                         "events[1]=invoice.paid&api_version=2025-03-31.basil");
  EXPECT_THAT(made["secret"], StartsWith("whsec_"));
  const std::string path = "/v1/webhook_endpoints/" + made["id"].get<std::string>();
  EXPECT_FALSE(get(path).contains("secret"));
  EXPECT_EQ(get("/v1/webhook_endpoints")["data"].size(), 2U);
  happen();
  EXPECT_EQ(deliver().size(), 2U);
  happen();
  EXPECT_EQ(json(call("DELETE", path))["deleted"], true);
  EXPECT_EQ(deliver().size(), 1U) << "what waited for it is not sent";
  EXPECT_EQ(states()["given_up"], 1);
  EXPECT_EQ(call("GET", path).status, 404);
  happen();
  EXPECT_EQ(deliver().size(), 1U);
  EXPECT_EQ(call("POST", "/v1/webhook_endpoints",
                 "url=https://example.com/&enabled_events[0]=customer.created")
                .status,
            400);
}

// What waits for an endpoint that goes away is given up in a stack of any size.
TEST(WebhooksStackTest, TenThousandThatWaitForNobodyAreGivenUp) {
  const Behaviour behaviour;
  Documents documents;
  Webhooks webhooks(behaviour, documents);
  const Json endpoint = webhooks.add_endpoint("http://localhost:9/", {"*"}, nullptr, "", true, 1);
  for (int i = 0; i < 10'000; ++i) {
    const Json event = {{"id", std::to_string(i)}, {"object", "v2.core.event"}, {"type", "x"}};
    ASSERT_EQ(webhooks.announce(event, true, 1), 1);
  }
  webhooks.remove(endpoint["id"]);
  ::pthread_attr_t small{};
  ASSERT_EQ(::pthread_attr_init(&small), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&small, 512 * 1024), 0);
  ::pthread_t thread{};
  const auto take = [](void* all) -> void* {
    return static_cast<Webhooks*>(all)->take(1) ? all : nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, &small, take, &webhooks), 0);
  void* sent = &webhooks;
  ASSERT_EQ(::pthread_join(thread, &sent), 0);
  EXPECT_EQ(sent, nullptr);
  EXPECT_EQ(webhooks.counters(1)["states"], (Json{{"given_up", 10'000}}));
}

using WebhooksStateTest = StateFileTest;

TEST_F(WebhooksStateTest, WhatIsNotDeliveredIsSentAfterARestart) {
  call("POST", "/sandbox/webhook_endpoints", R"({"url":"http://127.0.0.1:9/"})");
  const auto take = [&] {
    std::stop_source stopped;
    stopped.request_stop();
    return sandbox_->wait_for_delivery(stopped.get_token());
  };
  call("POST", "/v1/customers", "name=a");
  call("POST", "/v1/customers", "name=b");
  const auto first = take();
  ASSERT_TRUE(first);
  sandbox_->told_delivery(first->number, 200);
  const auto second = take();
  ASSERT_TRUE(second);
  restart();
  const auto again = take();
  ASSERT_TRUE(again) << "nobody knows whether it came";
  EXPECT_EQ(again->number, second->number);
  EXPECT_EQ(again->body, second->body);
  EXPECT_FALSE(take());
}

TEST_F(WebhooksStateTest, AReportThatIsNotDeliveredIsSentAfterARestartToo) {
  call("POST", "/sandbox/webhook_endpoints", R"({"url":"http://127.0.0.1:9/","thin":true})");
  meter();
  call("DELETE", "/v1/customers/cus_1");
  event("a", "1");
  now_ += 20;
  const Json thin = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(thin.size(), 1U);
  restart();
  std::stop_source stopped;
  stopped.request_stop();
  const auto sent = sandbox_->wait_for_delivery(stopped.get_token());
  ASSERT_TRUE(sent);
  EXPECT_EQ(Json::parse(sent->body), thin[0]);
}

}  // namespace
}  // namespace tally::sandbox
