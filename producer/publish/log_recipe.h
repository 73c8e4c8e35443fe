// A line of a log to an event, by a regular expression: its groups id, time, tenant, type and
// source become the attributes, all others members of data.
#pragma once

#include "core/usage_event.h"
#include "producer/publish/data_shape.h"
#include "producer/publish/recipe.h"
#include "producer/publish/time_text.h"
#include "runtime/pattern/pattern.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::publish {

// Access logs of nginx and Apache in the formats common and combined: the tenant is the name that
// the client gave (proved only where the server authenticates), a query is cut off the path.
extern const std::string_view kCombinedPattern;

struct LogOptions {
  std::string pattern;
  TimeFormat time_format;
  std::string tenant;  // of every event, in place of the group; so are the next two
  std::string type;
  std::string source;
  std::vector<std::string> numbers;  // groups that become numbers
  std::string id_prefix;             // tells logs of several hosts apart; before each made id
  bool unmatched_is_wrong = false;
  // A line whose group status is 401 holds no event: the name in it was not proved.
  bool status_tells_who = false;
};

class LogRecipe final : public Recipe {
 public:
  // An error: the pattern cannot be read, or an attribute has neither a group nor a text.
  [[nodiscard]] static core::Result<std::unique_ptr<Recipe>> make_from(LogOptions options);
  LogRecipe(LogOptions options, runtime::pattern::Pattern pattern);
  [[nodiscard]] bool makes_ids_of_places() const override { return !id_; }
  [[nodiscard]] core::Result<Made> make(const Record& record, Message& out) override;

 private:
  [[nodiscard]] core::Result<void> bind();
  // A group's text; "" where there is no such group, or it took no part, or is `-`.
  [[nodiscard]] std::string_view found(const std::optional<std::size_t>& group) const;
  void take(const std::optional<std::size_t>& group, std::string& into) const;
  [[nodiscard]] core::Result<void> take_id(const Record& record);
  [[nodiscard]] core::Result<void> take_time();
  [[nodiscard]] core::Result<Made> unmatched(std::string_view why) const;

  LogOptions options_;
  runtime::pattern::Pattern pattern_;
  // Where each attribute is among the pattern's groups; nullopt: it is the same in every event.
  std::optional<std::size_t> id_, time_, tenant_, type_, source_, status_;
  DataShape data_;
  // Of the line at hand.
  std::vector<std::string_view> found_;
  core::UsageEvent event_;
  std::string value_;
};

}  // namespace tally::producer::publish
