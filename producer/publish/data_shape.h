// An event's data out of texts: which text becomes which member, and as what. Numbers keep their
// exact text.
#pragma once

#include "core/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::publish {

enum class As : std::uint8_t { kString, kNumber, kBool };

// nullopt: it is none of string, number, bool.
[[nodiscard]] std::optional<As> as_of(std::string_view word);

struct DataField {
  std::string path;           // "usage.tokens": the member tokens of the object usage
  std::string origin;         // for people: "column tokens"
  std::size_t from = 0;       // the number of its text
  As as = As::kString;        // bool: true or false, 1 or 0, in any case of letters
  bool may_be_empty = false;  // an empty text leaves the member out, else it is an error
};

// Immutable after add().
class DataShape {
 public:
  // An error: an empty name in the path, or another field has it, or is within or around it.
  [[nodiscard]] core::Result<void> add(const DataField& field);
  // Appends the object. An error names the origin.
  [[nodiscard]] core::Result<void> write(std::span<const std::string_view> texts,
                                         std::string& out) const;

 private:
  struct Node {
    std::string name;
    DataField field;  // of a leaf
    std::vector<Node> children;
  };
  static core::Result<void> write_node(const Node& node, std::span<const std::string_view> texts,
                                       std::string& out);
  Node root_;
};

}  // namespace tally::producer::publish
