// How a record of an input becomes a message: NDJSON as it stands, a CSV row by its mapping.
#pragma once

#include "core/result.h"
#include "producer/publish/record_reader.h"

#include <string>
#include <string_view>

namespace tally::producer::publish {

struct Message {
  std::string_view key;    // the event's id
  std::string_view value;  // the structured CloudEvent
};

enum class Made {
  kMessage,
  kBlank,      // the record holds nothing
  kUnmatched,  // it holds no event, and need not
};

// One thread.
class Recipe {
 public:
  virtual ~Recipe() = default;
  // Whether each file begins with a record that tells how to read the others.
  [[nodiscard]] virtual bool has_header() const { return false; }
  // An error: nothing of the file can be read.
  [[nodiscard]] virtual core::Result<void> header(std::string_view) {
    return boost::outcome_v2::success();
  }
  // Whether the ids it makes hold where in its file a record stands: the same record elsewhere is
  // another event.
  [[nodiscard]] virtual bool makes_ids_of_places() const { return false; }
  // The views of `out` live until the next call, and as long as the record. An error says what is
  // wrong with the record.
  [[nodiscard]] virtual core::Result<Made> make(const Record& record, Message& out) = 0;
};

// One structured CloudEvent a line.
class NdjsonRecipe final : public Recipe {
 public:
  [[nodiscard]] core::Result<Made> make(const Record& record, Message& out) override;

 private:
  std::string id_;
};

}  // namespace tally::producer::publish
