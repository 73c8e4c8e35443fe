// CSV rows to events by a mapping.
#pragma once

#include "core/usage_event.h"
#include "producer/publish/csv.h"
#include "producer/publish/data_shape.h"
#include "producer/publish/mapping.h"
#include "producer/publish/recipe.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::publish {

class CsvRecipe final : public Recipe {
 public:
  CsvRecipe(Mapping mapping, char delimiter);
  [[nodiscard]] bool has_header() const override { return true; }
  // An error names each column of the mapping that the header lacks, and those that it has.
  [[nodiscard]] core::Result<void> header(std::string_view text) override;
  [[nodiscard]] core::Result<Made> make(const Record& record, Message& out) override;

 private:
  // An attribute, and where it comes from.
  struct Attribute {
    std::size_t column = 0;  // of one that is no constant
    std::string origin;      // for people: "column tenant (subject)"; "": it is a constant
  };
  [[nodiscard]] core::Result<std::size_t> column(const std::string& name) const;
  [[nodiscard]] core::Result<void> place(std::string_view name, const TextFrom& from,
                                         Attribute& into, std::string& text);
  [[nodiscard]] core::Result<void> take_id();
  [[nodiscard]] core::Result<void> take(const Attribute& attribute, std::size_t max_bytes,
                                        std::string& into) const;
  [[nodiscard]] core::Result<void> take_time();

  Mapping mapping_;
  char delimiter_;
  std::vector<std::string> columns_;  // of the header
  std::vector<std::size_t> id_;
  Attribute time_;
  Attribute subject_;
  Attribute type_;
  Attribute source_;
  DataShape data_;
  // Of the row at hand.
  CsvRow row_;
  core::UsageEvent event_;
  std::string time_text_;
  std::string value_;
};

}  // namespace tally::producer::publish
