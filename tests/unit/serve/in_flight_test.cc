#include "tests/unit/serve/rig.h"

#include <gmock/gmock.h>

#include <deque>
#include <new>

namespace tally::producer::serve {
namespace {

using testing::HasSubstr;

// A sink that takes so many events, then answers otherwise; ends them as told, on the caller's
// thread.
class CountingSink final : public EventSink {
 public:
  explicit CountingSink(OnOutcome on_outcome) : on_outcome_(std::move(on_outcome)) {}
  Offered offer(const SinkEvent& event) override {
    if (room_ == 0 && fails_) {
      if (has_taken_) tags_.push_back(event.tag);
      throw std::bad_alloc();
    }
    if (room_ == 0) return then_;
    --room_;
    tags_.push_back(event.tag);
    return Offered::kAccepted;
  }
  void take(std::size_t room, Offered then) {
    room_ = room;
    then_ = then;
  }
  void end(std::string_view reason = "") {
    last_ = tags_.front();
    tags_.pop_front();
    tell(last_, reason);
  }
  // Tells again, or too late, of the one that was ended last.
  void end_again(std::string_view reason = "") { tell(last_, reason); }
  // The offer of the event behind the room is an exception; before the sink has taken it, or after.
  void fail_behind(std::size_t room, bool has_taken) {
    room_ = room;
    fails_ = true;
    has_taken_ = has_taken;
  }

 private:
  void tell(std::uint64_t tag, std::string_view reason) {
    on_outcome_({.tag = tag, .key = "", .kept = reason.empty(), .reason = reason});
  }

  OnOutcome on_outcome_;
  std::deque<std::uint64_t> tags_;
  std::uint64_t last_ = 0;
  bool fails_ = false;
  bool has_taken_ = false;
  std::size_t room_ = 0;
  Offered then_ = Offered::kFull;
};

class Ending : public IntakeTest {
 protected:
  void open_counting(IntakeOptions options = {}) {
    open(std::move(options));
    auto sink = std::make_unique<CountingSink>(intake_->on_outcome());
    sink_ = sink.get();
    intake_->attach(std::move(sink));
    sink_->take(1'000, Offered::kFull);
  }
  bool is_waiting(const Asked& asked) const {
    return asked.answer.wait_for(std::chrono::seconds(0)) == std::future_status::timeout;
  }
  std::string stray_ends() const {
    const std::string all = registry_.exposition();
    const std::string_view name = "\ntally_producer_http_stray_ends_total ";
    const std::size_t at = all.find(name);
    return at == std::string::npos ? all : all.substr(at + name.size(), 1);
  }
  CountingSink* sink_ = nullptr;
};

TEST_F(Ending, WhatTheSinkLostIsUnknown) {
  open_counting();
  Asked asked = start(post_batch({event("a"), event("b"), event("c"), event("d"), event("e")}));
  sink_->end();
  sink_->end("_MSG_TIMED_OUT");
  sink_->end("INVALID_RECORD");
  sink_->end();
  sink_->end("_MSG_TIMED_OUT");
  const Response response = wait(asked);
  EXPECT_EQ(response.status, 503);
  const auto said = problem(response);
  EXPECT_EQ(said.at("code"), "not_all_kept");
  EXPECT_EQ(said.at("kept"), 2);
  EXPECT_EQ(said.at("not_kept"), nlohmann::json::parse("[]"));
  EXPECT_EQ(said.at("unknown"), nlohmann::json::parse("[1,2,4]"));
  EXPECT_EQ(said.at("reasons"),
            nlohmann::json::parse(R"({"_MSG_TIMED_OUT":2,"INVALID_RECORD":1})"));
  EXPECT_EQ(intake_->in_flight().events(), 0U);
}

TEST_F(Ending, OneEventWhoseFateIsUnknown) {
  open_counting();
  Asked asked = start(post_one(event("a")));
  sink_->end("_MSG_TIMED_OUT");
  const Response response = wait(asked);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(problem(response).at("unknown"), nlohmann::json::parse("[0]"));
}

TEST_F(Ending, ASinkThatFillsUpWithinABatchSaysWhichHalf) {
  open_counting();
  sink_->take(2, Offered::kFull);
  Asked asked = start(post_batch({event("a"), event("b"), event("c"), event("d")}));
  sink_->end();
  EXPECT_EQ(asked.answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  sink_->end();
  const Response response = wait(asked);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(problem(response).at("kept"), 2);
  EXPECT_EQ(problem(response).at("not_kept"), nlohmann::json::parse("[2,3]"));
  EXPECT_EQ(problem(response).at("reasons"), nlohmann::json::parse(R"({"queue_full":2})"));
}

TEST_F(Ending, AFullSinkTakesNothing) {
  open_counting();
  sink_->take(0, Offered::kFull);
  const Response response = ask(post_batch({event("a"), event("b")}));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(problem(response).at("code"), "queue_full");
  EXPECT_EQ(response.header("Retry-After"), "1");
}

TEST_F(Ending, AClosedSinkTakesNothing) {
  open_counting();
  sink_->take(0, Offered::kClosed);
  EXPECT_EQ(problem(ask(post_batch({event("a"), event("b")}))).at("code"), "closed");
}

TEST_F(Ending, AnEventTooLargeForTheSinkStopsNoOther) {
  open_counting();
  sink_->take(0, Offered::kTooLarge);
  const auto said = problem(ask(post_batch({event("a"), event("b")})));
  EXPECT_EQ(said.at("code"), "not_all_kept");
  EXPECT_EQ(said.at("not_kept"), nlohmann::json::parse("[0,1]"));
}

TEST_F(Ending, AWholeBatchHasRoomOrNothingOfItIsTaken) {
  open_counting({.max_batch = 3, .limits = {.events = 4}});
  Asked first = start(post_batch({event("a"), event("b")}));
  const Response refused = ask(post_batch({event("c"), event("d"), event("e")}));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(problem(refused).at("code"), "queue_full");
  Asked second = start(post_batch({event("c"), event("d")}));
  EXPECT_EQ(ask(post_one(event("f"))).status, 503);
  for (int i = 0; i < 4; ++i) sink_->end();
  EXPECT_EQ(wait(first).status, 202);
  EXPECT_EQ(wait(second).status, 202);
  Asked third = start(post_batch({event("c"), event("d"), event("e")}));
  for (int i = 0; i < 3; ++i) sink_->end();
  EXPECT_EQ(wait(third).status, 202);
}

TEST_F(Ending, BytesAndRequestsAreBounded) {
  open_counting({.limits = {.requests = 2, .bytes = 400}});
  Asked first = start(post_one(event("a")));
  Asked second = start(post_one(event("b")));
  EXPECT_EQ(problem(ask(post_one(event("c")))).at("code"), "queue_full");
  sink_->end();
  EXPECT_EQ(wait(first).status, 202);
  EXPECT_EQ(problem(ask(post_batch({event("c"), event("d"), event("e")}))).at("code"),
            "queue_full");
  Asked third = start(post_one(event("c")));
  sink_->end();
  sink_->end();
  EXPECT_EQ(wait(second).status, 202);
  EXPECT_EQ(wait(third).status, 202);
}

TEST_F(Ending, AKeyHasHalfOfTheRequestsAtMost) {
  open_counting({.max_batch = 2, .limits = {.requests = 4, .events_of_a_key = 100}});
  const auto keys = make_keys({"*", "*"});
  const auto from = [](const std::string& key, Request request) {
    request.headers.set("X-API-Key", key);
    return request;
  };
  Asked first = start(from(keys[0], post_one(event("a"))));
  Asked second = start(from(keys[0], post_one(event("b"))));
  const Response refused = ask(from(keys[0], post_one(event("c"))));
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(problem(refused).at("detail").get<std::string>(),
              HasSubstr("100 events and 2 requests"));
  Asked other = start(from(keys[1], post_one(event("d"))));
  for (int i = 0; i < 3; ++i) sink_->end();
  EXPECT_EQ(wait(first).status, 202);
  EXPECT_EQ(wait(second).status, 202);
  EXPECT_EQ(wait(other).status, 202);
  Asked again = start(from(keys[0], post_one(event("c"))));
  sink_->end();
  EXPECT_EQ(wait(again).status, 202);
}

TEST_F(Ending, AKeyHasABoundOfItsOwn) {
  open_counting({.max_batch = 2, .limits = {.events_of_a_key = 2}});
  const auto keys = make_keys({"*", "*"});
  const auto from = [](const std::string& key, Request request) {
    request.headers.set("X-API-Key", key);
    return request;
  };
  Asked first = start(from(keys[0], post_one(event("a"))));
  const Response refused = ask(from(keys[0], post_batch({event("b"), event("c")})));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_THAT(problem(refused).at("detail").get<std::string>(), HasSubstr("2 events"));
  Asked other = start(from(keys[1], post_batch({event("b"), event("c")})));
  for (int i = 0; i < 3; ++i) sink_->end();
  EXPECT_EQ(wait(first).status, 202);
  EXPECT_EQ(wait(other).status, 202);
  Asked again = start(from(keys[0], post_batch({event("b"), event("c")})));
  sink_->end();
  sink_->end();
  EXPECT_EQ(wait(again).status, 202);
}

TEST_F(Ending, AStoppingIntakeAnswersWhatItHasAndTakesNothing) {
  open_counting();
  Asked asked = start(post_one(event("a")));
  intake_->stop();
  EXPECT_EQ(problem(ask(post_one(event("b")))).at("code"), "stopping");
  sink_->end();
  EXPECT_EQ(wait(asked).status, 202);
}

TEST_F(Ending, ClosingAnswersWhatStillWaits) {
  script_.set_ends(Script::Ends::kWithTheSink);
  Asked asked = start(post_batch({event("a"), event("b")}));
  intake_->close();
  const Response response = wait(asked);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(problem(response).at("unknown"), nlohmann::json::parse("[0,1]"));
}

// The report of a request that was answered came for the next one in its slot, and counted for it.
TEST_F(Ending, AnEndThatComesTooLateIsNotTheNextRequests) {
  open_counting({.limits = {.requests = 1}});
  Asked first = start(post_batch({event("a"), event("b")}));
  sink_->end();
  sink_->end();
  EXPECT_EQ(wait(first).status, 202);
  Asked second = start(post_batch({event("c"), event("d")}));
  sink_->end_again();
  sink_->end_again("_MSG_TIMED_OUT");
  EXPECT_TRUE(is_waiting(second));
  EXPECT_EQ(stray_ends(), "2");
  sink_->end();
  EXPECT_TRUE(is_waiting(second));
  sink_->end();
  EXPECT_EQ(wait(second).status, 202);
  sink_->end_again();  // of a slot that is free
  EXPECT_EQ(stray_ends(), "3");
  EXPECT_EQ(intake_->in_flight().requests(), 0U);
}

// The event that was told of twice stood for the one that was not told of.
TEST_F(Ending, AnEndThatComesTwiceIsNoOtherEvents) {
  open_counting();
  Asked asked = start(post_batch({event("a"), event("b"), event("c")}));
  sink_->end();
  sink_->end_again();
  sink_->end_again();
  EXPECT_TRUE(is_waiting(asked));
  EXPECT_EQ(stray_ends(), "2");
  sink_->end("_MSG_TIMED_OUT");
  sink_->end_again();  // too late: it was told to be lost
  sink_->end();
  const auto said = problem(wait(asked));
  EXPECT_EQ(said.at("kept"), 2);
  EXPECT_EQ(said.at("unknown"), nlohmann::json::parse("[1]"));
}

// The slot was lost for good, and the request never answered.
TEST_F(Ending, AnExceptionWithinABatchIsAnswered) {
  for (const bool has_taken : {false, true}) {
    open_counting({.limits = {.requests = 1}});
    sink_->fail_behind(2, has_taken);
    Asked asked = start(post_batch({event("a"), event("b"), event("c"), event("d")}));
    EXPECT_TRUE(is_waiting(asked));
    sink_->end();
    sink_->end();
    const Response response = wait(asked);
    EXPECT_EQ(response.status, 503);
    const auto said = problem(response);
    EXPECT_EQ(said.at("code"), "not_all_kept");
    EXPECT_EQ(said.at("kept"), 2);
    EXPECT_EQ(said.at("unknown"), nlohmann::json::parse("[2]"));
    EXPECT_EQ(said.at("not_kept"), nlohmann::json::parse("[3]"));
    EXPECT_EQ(said.at("reasons"), nlohmann::json::parse(R"({"failed":2})"));
    EXPECT_EQ(intake_->in_flight().requests(), 0U);
    EXPECT_EQ(intake_->in_flight().events(), 0U);
    if (has_taken) sink_->end();  // of the one that was given up: nobody waits for it
  }
}

TEST_F(Ending, OfManyReasonsTheFirstAreNamed) {
  open_counting();
  Asked asked =
      start(post_batch({event("a"), event("b"), event("c"), event("d"), event("e"), event("f")}));
  for (const char* reason : {"A", "B", "C", "D", "E", "A"}) sink_->end(reason);
  EXPECT_EQ(problem(wait(asked)).at("reasons"),
            nlohmann::json::parse(R"({"A":2,"B":1,"C":1,"other":2})"));
}

// A request that was over the bound was counted until it was refused, and another had no room.
TEST_F(Ending, WhatHasNoRoomTakesNoneFromOthers) {
  InFlight in_flight({.requests = 2, .events = 10, .bytes = 10}, probe_);
  std::atomic<bool> over = false;
  std::thread greedy([&] {
    InFlight::Ticket ticket = 0;
    Reply reply;
    while (!over) {
      EXPECT_EQ(in_flight.begin({.events = 11, .bytes = 1}, nullptr, reply, ticket),
                InFlight::Began::kFull);
    }
  });
  int refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    InFlight::Ticket ticket = 0;
    Reply reply([](const Response&) {});
    if (in_flight.begin({.events = 1, .bytes = 1}, nullptr, reply, ticket) !=
        InFlight::Began::kYes) {
      ++refused;
      continue;
    }
    in_flight.missed(ticket, 0, Fate::kKept, "");
    in_flight.offered(ticket);
  }
  over = true;
  greedy.join();
  EXPECT_EQ(refused, 0);
}

// Requests of many threads at once, ended by the sink's: each is answered, and nothing is left.
TEST_F(Ending, ManyAtOnce) {
  open({.limits = {.requests = 64}});
  std::vector<std::thread> threads;
  std::atomic<int> kept{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        kept += ask(post_batch({event(id + "a"), event(id + "b")})).status == 202 ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(kept, 1'200);
  EXPECT_EQ(script_.taken().size(), 2'400U);
  EXPECT_EQ(intake_->in_flight().events(), 0U);
  EXPECT_EQ(intake_->in_flight().requests(), 0U);
}

}  // namespace
}  // namespace tally::producer::serve
