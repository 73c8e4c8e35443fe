// A forked child neither hangs nor sends what is its parent's, and says what to do.
#include "producer/request_id.h"
#include "producer/usage_client.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

// What `run` says in a child; "" and a failure when the child hangs.
std::string said_by_child(const std::function<std::string()>& run) {
  std::array<int, 2> out{};
  EXPECT_EQ(::pipe(out.data()), 0);
  const pid_t child = ::fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    ::alarm(20);
    const std::string said = run();
    const ssize_t written = ::write(out[1], said.data(), said.size());
    ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  ::close(out[1]);
  std::string said;
  std::array<char, 512> piece{};
  for (ssize_t got = 0; (got = ::read(out[0], piece.data(), piece.size())) > 0;) {
    said.append(piece.data(), static_cast<std::size_t>(got));
  }
  ::close(out[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "the child hung or broke";
  return said;
}

TEST(Fork, TheChildsClientRefusesLoudlyAndSendsNothing) {
  Script script;
  UsageClientOptions options;
  options.source = "/gateway";
  auto client = std::move(open_client(options, fake(script)).client);
  ASSERT_TRUE(client->record("t", "tenant", {{"n", 1}}, {.id = "parent"}));
  const std::string said = said_by_child([&] {
    const Receipt receipt = client->record("t", "tenant", {{"n", 1}}, {.id = "child"});
    std::string out = receipt.recorded == Recorded::kClosed ? "closed: " : "NOT closed: ";
    out += receipt.reason;
    client->wait_for_room(milliseconds(60'000));
    out += " left " + std::to_string(client->flush(milliseconds(60'000)));
    out += " closed " + std::to_string(client->counts().closed);
    client.reset();
    return out;
  });
  EXPECT_TRUE(said.starts_with("closed: ")) << said;
  EXPECT_NE(said.find("open a client after fork()"), std::string::npos) << said;
  EXPECT_TRUE(said.ends_with(" left 0 closed 1")) << said;
  ASSERT_TRUE(client->record("t", "tenant", {{"n", 2}}, {.id = "parent again"}));
  EXPECT_EQ(client->flush(milliseconds(20'000)), 0U);
  const auto taken = script.taken();
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].key, "parent");
  EXPECT_EQ(taken[1].key, "parent again");
}

TEST(Fork, IdsOfParentAndChildDiffer) {
  // One id fetches random bits for the next ones too: the child must not use them as well.
  static_cast<void>(new_request_id());
  const std::chrono::system_clock::time_point when{};
  const std::string child = said_by_child([&] { return new_request_id(when); });
  EXPECT_EQ(child.size(), 36U);
  EXPECT_NE(child, new_request_id(when));
}

}  // namespace
}  // namespace tally::producer
