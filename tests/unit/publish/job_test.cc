// What can be done with an input before anything is read of it.
#include "producer/publish/job.h"
#include "producer/publish/log_recipe.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace tally::producer::publish {
namespace {

std::string problem_of(const std::string& pattern, const Input& input, bool whole_file = false) {
  LogOptions options;
  options.pattern = pattern;
  options.tenant = "acme";
  options.type = "t";
  options.source = "/s";
  auto recipe = LogRecipe::make_from(std::move(options));
  EXPECT_TRUE(recipe) << recipe.error().message;
  const Job job{.recipe = std::move(recipe.value()), .pipe_is_whole_file = whole_file};
  const auto fit = fits(job, input, "-");
  return fit ? "" : fit.error().message;
}

// A pipe begins anywhere: made of places, the ids of the same lines were others on each run.
TEST(Job, APipeNeedsIdsThatAreNotMadeOfPlaces) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);
  const Input pipe(ends[0]);
  const std::string placed = "(?P<time>.*)";
  EXPECT_NE(problem_of(placed, pipe).find("- is no file: without a group id"), std::string::npos);
  EXPECT_EQ(problem_of(placed, pipe, true), "");
  EXPECT_EQ(problem_of("(?P<id>.*)", pipe), "");
  ::close(ends[0]);
  ::close(ends[1]);
  const Scratch scratch;
  scratch.write("log", "one\n");
  EXPECT_EQ(problem_of(placed, Input(scratch.path("log"))), "");
}

// A number may be cut off there: only what is known to be complete may end so.
TEST(Job, ALastLineWithoutItsEndIsARecordOnlyOfWhatIsComplete) {
  const Job publish;
  EXPECT_EQ(last_line_of(publish, From::kFile), LastLine::kIsRecord);
  EXPECT_EQ(last_line_of(publish, From::kFileWithState), LastLine::kIsLeft);
  EXPECT_EQ(last_line_of(publish, From::kPipe), LastLine::kIsRecord);
  EXPECT_EQ(last_line_of({.once = true}, From::kFile), LastLine::kIsLeft);
  EXPECT_EQ(last_line_of({.follow = true}, From::kFile), LastLine::kIsLeft);
  // tail -F app.log | tally-producer tail -
  EXPECT_EQ(last_line_of({.pipe_is_a_log = true}, From::kPipe), LastLine::kIsLeft);
  EXPECT_EQ(last_line_of({.pipe_is_whole_file = true, .pipe_is_a_log = true}, From::kPipe),
            LastLine::kIsRecord);
  // tally-producer tail - < app.log
  EXPECT_EQ(last_line_of({.pipe_is_a_log = true}, From::kFile), LastLine::kIsLeft);
  EXPECT_EQ(last_line_of({.pipe_is_whole_file = true, .pipe_is_a_log = true}, From::kFile),
            LastLine::kIsRecord);
}

// A link to dated files moves on, and those between two runs were passed over in silence.
TEST(Job, ASymbolicLinkIsNotFollowed) {
  const Scratch scratch;
  scratch.write("app.22.log", "one\n");
  const std::string link = scratch.path("current.log");
  std::filesystem::create_symlink("app.22.log", link);
  const Input input(link);
  const auto refused =
      fits({.recipe = std::make_unique<NdjsonRecipe>(), .follow = true}, input, link);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("is a symbolic link to app.22.log: "), std::string::npos);
  EXPECT_TRUE(fits({.recipe = std::make_unique<NdjsonRecipe>()}, input, link));
}

// /dev/stdin is a link: a pipe behind it was said to be one that the wrong name was given of.
TEST(Job, ALinkToAPipeIsRefusedAsAPipe) {
  const Scratch scratch;
  ASSERT_EQ(::mkfifo(scratch.path("fifo").c_str(), 0600), 0);
  const std::string link = scratch.path("stdin");
  std::filesystem::create_symlink("fifo", link);
  const auto refused =
      fits({.recipe = std::make_unique<NdjsonRecipe>(), .follow = true}, Input(link), link);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find(" is no file: a pipe is read as it comes"),
            std::string::npos)
      << refused.error().message;
}

TEST(Job, AStateIsNotCalledAsARotatedLog) {
  const Scratch scratch;
  scratch.write("app.log", "one\n");
  const Input input(scratch.path("app.log"));
  const Job job{.recipe = std::make_unique<NdjsonRecipe>(), .follow = true};
  EXPECT_TRUE(fits(job, input, scratch.path("app.log"), scratch.path("app.log.state")));
  const auto refused = fits(job, input, scratch.path("app.log"), "app.log.1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.substr(0, 35), "state app.log.1 is called as a rota");
}

// The state, the one that replaces it and its lock would each have emptied the file.
TEST(Job, AStateWritesOverNothingThatIsRead) {
  const Scratch scratch;
  const Job job{.recipe = std::make_unique<NdjsonRecipe>()};
  for (const std::string name : {"x", "x.new", "x.lock"}) {
    const std::string path = scratch.path(name);
    scratch.write(name, "one\n");
    std::filesystem::create_hard_link(path, scratch.path("link"));
    const Input input(path);
    for (const std::string& read : {path, scratch.path("link")}) {
      const auto refused = fits(job, input, read, scratch.path("x"));
      ASSERT_FALSE(refused) << read;
      EXPECT_NE(refused.error().message.find("would be written over"), std::string::npos)
          << refused.error().message;
    }
    EXPECT_TRUE(fits(job, input, path, scratch.path("y")));
    std::filesystem::remove(scratch.path("link"));
    std::filesystem::remove(path);
  }
}

}  // namespace
}  // namespace tally::producer::publish
