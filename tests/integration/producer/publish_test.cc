// tally-producer and the topic helpers against the real broker; what was published is read back.
#include "runtime/kafka/consumer.h"
#include "runtime/kafka/producer.h"
#include "runtime/kafka/topic.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally {
namespace {

using runtime::kafka::Admin;
using runtime::kafka::Creation;
using runtime::kafka::NewTopic;
using runtime::kafka::TimestampType;
using std::chrono::milliseconds;

constexpr milliseconds kTimeout{10'000};
constexpr int kPartitions = 3;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string event(int number) {
  return R"({"specversion":"1.0","id":"id-)" + std::to_string(number) +
         R"(","source":"/s","type":"t","subject":"tenant","data":{"n":)" + std::to_string(number) +
         "}}";
}

class FromStart : public runtime::kafka::RebalanceListener {
 public:
  std::vector<std::int64_t> assigned(const std::vector<std::int32_t>& partitions) override {
    return std::vector<std::int64_t>(partitions.size(), 0);
  }
  void revoked(const std::vector<std::int32_t>&, runtime::kafka::Revocation) override {}
};

struct Read {
  std::string value;
  std::string content_type;
  std::int32_t partition = 0;
};

class PublishTest : public ::testing::Test {
 protected:
  void SetUp() override {
    brokers_ = environment("TALLY_TEST_BROKERS");
    ASSERT_FALSE(brokers_.empty()) << "run through ctest, whose fixture starts the stack";
    auto admin = Admin::open({{"bootstrap.servers", brokers_}});
    ASSERT_TRUE(admin) << admin.error().message;
    admin_ = std::move(admin.value());
    topic_ = "publish." + std::to_string(::getpid()) + "." +
             ::testing::UnitTest::GetInstance()->current_test_info()->name();
    const auto made =
        admin_->create_topic({.name = topic_,
                              .partitions = kPartitions,
                              .replication = 1,
                              .settings = {{"message.timestamp.type", "LogAppendTime"}}},
                             kTimeout);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made.value(), Creation::kCreated);
    // A broker says that a topic is made before it knows of it.
    const auto until = std::chrono::steady_clock::now() + kTimeout;
    while (
        std::chrono::steady_clock::now() < until &&
        !(admin_->partition_count(topic_, kTimeout) && admin_->timestamp_type(topic_, kTimeout))) {
    }
    file_ = std::filesystem::temp_directory_path() / (topic_ + ".ndjson");
  }
  void TearDown() override {
    std::filesystem::remove(file_);
    if (admin_) {
      EXPECT_TRUE(admin_->delete_topic(topic_, kTimeout));
    }
  }

  void write_lines(const std::vector<std::string>& lines) const {
    std::ofstream out(file_, std::ios::binary);
    for (const std::string& line : lines) out << line << '\n';
  }

  // Runs the shipped program; its standard output in `out_`, its exit code returned.
  int publish(const std::string& more) {
    const std::string command = environment("TALLY_TEST_BIN") + "/tally-producer publish " +
                                file_.string() + " --json --brokers " + brokers_ + " --topic " +
                                topic_ + " " + more + " 2>/dev/null";
    std::FILE* pipe = ::popen(command.c_str(), "r");
    std::array<char, 4'096> piece{};
    out_.clear();
    while (std::fgets(piece.data(), piece.size(), pipe) != nullptr) out_ += piece.data();
    const int status = ::pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // All records of the topic by key; each key at most once.
  std::map<std::string, Read> read_back(std::size_t expected) {
    FromStart listener;
    runtime::kafka::Consumer consumer({.brokers = brokers_,
                                       .topic = topic_,
                                       .group = topic_,
                                       .client_id = "test",
                                       .instance_id = "",
                                       .extra = {}},
                                      listener);
    std::map<std::string, Read> out;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (out.size() < expected && std::chrono::steady_clock::now() < until) {
      const auto batch = consumer.poll(10'000, milliseconds(500));
      for (const auto& record : batch.records) {
        Read read{std::string(record.value), "", record.partition};
        for (const auto& header : record.headers) {
          if (header.name == "content-type") read.content_type = header.value;
        }
        EXPECT_EQ(record.log_time_kind, runtime::kafka::LogTimeKind::kLogAppendTime);
        EXPECT_TRUE(out.emplace(std::string(record.key), std::move(read)).second) << record.key;
      }
    }
    return out;
  }

  std::string brokers_;
  std::string topic_;
  std::filesystem::path file_;
  std::string out_;
  std::unique_ptr<Admin> admin_;
};

TEST_F(PublishTest, EachEventArrivesAsItStandsUnderItsId) {
  std::vector<std::string> lines;
  for (int i = 0; i < 1'000; ++i) lines.push_back(event(i));
  write_lines(lines);
  EXPECT_EQ(publish(""), 0);
  EXPECT_NE(out_.find(R"("lines":1000,"delivered":1000,"refused":0,"failed":0)"), std::string::npos)
      << out_;
  const auto read = read_back(1'000);
  ASSERT_EQ(read.size(), 1'000U);
  std::map<int, int> per_partition;
  for (int i = 0; i < 1'000; ++i) {
    const Read& found = read.at("id-" + std::to_string(i));
    EXPECT_EQ(found.value, event(i));
    EXPECT_EQ(found.content_type, "application/cloudevents+json");
    ++per_partition[found.partition];
  }
  EXPECT_EQ(per_partition.size(), static_cast<std::size_t>(kPartitions));
}

TEST_F(PublishTest, ABadLineIsRefusedAndTheRestDelivered) {
  write_lines({event(1), "{}", event(2)});
  EXPECT_EQ(publish(""), 1);
  EXPECT_NE(out_.find(R"("lines":3,"delivered":2,"refused":1)"), std::string::npos) << out_;
  EXPECT_EQ(read_back(2).size(), 2U);
  EXPECT_EQ(publish("--strict"), 1);
  EXPECT_NE(out_.find(R"("lines":2,"delivered":1,"refused":1)"), std::string::npos) << out_;
}

TEST_F(PublishTest, SigtermDrainsAPipeThatIsStillOpen) {
  std::array<int, 2> input{};
  std::array<int, 2> output{};
  ASSERT_EQ(::pipe(input.data()), 0);
  ASSERT_EQ(::pipe(output.data()), 0);
  const std::string program = environment("TALLY_TEST_BIN") + "/tally-producer";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::dup2(input[0], STDIN_FILENO);
    ::dup2(output[1], STDOUT_FILENO);
    ::close(input[1]);
    ::close(output[0]);
    ::execl(program.c_str(), program.c_str(), "publish", "-", "--json", "--brokers",
            brokers_.c_str(), "--topic", topic_.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(input[0]);
  ::close(output[1]);
  const std::string lines = event(1) + "\n" + event(2) + "\n";
  ASSERT_EQ(::write(input[1], lines.data(), lines.size()), static_cast<ssize_t>(lines.size()));
  EXPECT_EQ(read_back(2).size(), 2U);  // both are in the log, the pipe is still open
  ASSERT_EQ(::kill(child, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  std::array<char, 4'096> said{};
  EXPECT_GT(::read(output[0], said.data(), said.size() - 1), 0);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(std::string(said.data()).find(R"("lines":2,"delivered":2,"refused":0,"failed":0)"),
            std::string::npos)
      << said.data();
  EXPECT_NE(std::string(said.data()).find(R"("stopped_before_line":3)"), std::string::npos);
  ::close(input[1]);
  ::close(output[0]);
}

TEST_F(PublishTest, AMissingTopicIsOneSentenceAndNothingIsMade) {
  write_lines({event(1)});
  const std::string good = std::exchange(topic_, "no.such.topic");
  EXPECT_EQ(publish(""), 1);
  topic_ = good;
  const auto count = admin_->partition_count("no.such.topic", kTimeout);
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().kind, core::ErrorKind::kNotFound) << count.error().message;
}

// A broker answers for a topic some moments after it has made it: the first answers may not know
// it.
bool has_partitions(Admin& admin, const std::string& topic, int wanted) {
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto count = admin.partition_count(topic, kTimeout);
    if (count && count.value() == wanted) return true;
  }
  return false;
}

TEST_F(PublishTest, TopicsAreMadeGrownAndDescribed) {
  ASSERT_TRUE(has_partitions(*admin_, topic_, kPartitions));
  const auto type = admin_->timestamp_type(topic_, kTimeout);
  ASSERT_TRUE(type) << type.error().message;
  EXPECT_EQ(type.value(), TimestampType::kLogAppendTime);
  const auto policy = admin_->setting(topic_, "cleanup.policy", kTimeout);
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy.value(), "delete");
  const auto again =
      admin_->create_topic({.name = topic_, .partitions = 1, .settings = {}}, kTimeout);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again.value(), Creation::kExisted);
  ASSERT_TRUE(admin_->grow_topic(topic_, 5, kTimeout));
  ASSERT_TRUE(has_partitions(*admin_, topic_, 5));
  const auto shrunk = admin_->grow_topic(topic_, 2, kTimeout);
  ASSERT_FALSE(shrunk);
  EXPECT_NE(shrunk.error().message.find(topic_), std::string::npos);
  EXPECT_FALSE(admin_->setting("no.such.topic", "cleanup.policy", kTimeout));
  EXPECT_FALSE(admin_->create_topic(
      {.name = "bad", .partitions = 1, .settings = {{"no.such", "1"}}}, kTimeout));
}

TEST(TopicAdmin, ABrokerThatIsAwayIsUnavailable) {
  auto admin = Admin::open({{"bootstrap.servers", "127.0.0.1:9"}});
  ASSERT_TRUE(admin);
  const auto count = admin.value()->partition_count("t", milliseconds(300));
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().kind, core::ErrorKind::kUnavailable) << count.error().message;
  EXPECT_NE(count.error().message.find("127.0.0.1:9"), std::string::npos);
  const auto type = admin.value()->timestamp_type("t", milliseconds(300));
  ASSERT_FALSE(type);
  EXPECT_EQ(type.error().kind, core::ErrorKind::kUnavailable) << type.error().message;
}

}  // namespace
}  // namespace tally
