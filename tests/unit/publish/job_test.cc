// What can be done with an input before anything is read of it.
#include "producer/publish/job.h"
#include "producer/publish/log_recipe.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>
#include <unistd.h>

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

}  // namespace
}  // namespace tally::producer::publish
