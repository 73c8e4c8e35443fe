// The header fields of one request or answer, in one text and one list: two allocations at most,
// none when a cleared object is filled again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::runtime::http {

// True when `a` and `b` differ at most in the case of A-Z.
[[nodiscard]] bool equal_without_case(std::string_view a, std::string_view b);

// Names compare without case and keep the spelling they came with. A plain value: any thread. Views
// that it gives live until it is changed or destroyed. At most 4 GiB together.
class Headers {
 public:
  using Pair = std::pair<std::string_view, std::string_view>;  // name, value

  Headers() = default;
  Headers(std::initializer_list<Pair> fields);
  // Appends, whether the name is there already or not.
  void add(std::string_view name, std::string_view value);
  // Replaces every field of that name.
  void set(std::string_view name, std::string_view value);
  void clear();  // keeps the memory

  // The last field of that name; nullopt when there is none.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] std::string_view get(std::string_view name) const;  // "" when absent
  [[nodiscard]] std::size_t count(std::string_view name) const;
  [[nodiscard]] std::size_t size() const { return fields_.size(); }
  [[nodiscard]] bool empty() const { return fields_.empty(); }
  [[nodiscard]] Pair operator[](std::size_t index) const;  // in the order of their coming

  class Iterator {
   public:
    Iterator(const Headers& headers, std::size_t index) : headers_(&headers), index_(index) {}
    Pair operator*() const { return (*headers_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const Headers* headers_;
    std::size_t index_;
  };
  [[nodiscard]] Iterator begin() const { return {*this, 0}; }
  [[nodiscard]] Iterator end() const { return {*this, fields_.size()}; }

 private:
  struct Field {
    std::uint32_t at = 0;  // the name's place in text_; the value follows it
    std::uint32_t name_bytes = 0;
    std::uint32_t value_bytes = 0;
  };
  [[nodiscard]] std::string_view name_of(const Field& field) const;

  std::string text_;
  std::vector<Field> fields_;
};

}  // namespace tally::runtime::http
