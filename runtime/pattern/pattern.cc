#include "runtime/pattern/pattern.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <utility>

namespace tally::runtime::pattern {

struct Pattern::Impl {
  explicit Impl(const std::string& expression) : compiled(expression, RE2::Quiet) {
    for (const auto& [number, name] : compiled.CapturingGroupNames()) {
      numbers.push_back(static_cast<std::size_t>(number));
      names.push_back(name);
    }
    found.resize(static_cast<std::size_t>(std::max(0, compiled.NumberOfCapturingGroups())) + 1);
  }
  RE2 compiled;
  std::vector<std::size_t> numbers;
  std::vector<std::string> names;
  std::vector<re2::StringPiece> found;  // of the last text: all groups, named or not
};

Pattern::Pattern(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pattern::Pattern(Pattern&& other) noexcept = default;
Pattern& Pattern::operator=(Pattern&& other) noexcept = default;
Pattern::~Pattern() = default;

core::Result<Pattern> Pattern::compile(const std::string& expression) {
  auto impl = std::make_unique<Impl>(expression);
  if (impl->compiled.ok()) return Pattern(std::move(impl));
  return core::invalid(
      fmt::format("the pattern `{}` cannot be read: {} (named groups are written (?P<name>…))",
                  expression, impl->compiled.error()));
}

const std::vector<std::string>& Pattern::groups() const { return impl_->names; }

bool Pattern::find(std::string_view text, std::vector<std::string_view>& found) const {
  Impl& impl = *impl_;
  if (!impl.compiled.Match({text.data(), text.size()}, 0, text.size(), RE2::UNANCHORED,
                           impl.found.data(), static_cast<int>(impl.found.size()))) {
    return false;
  }
  found.clear();
  for (const std::size_t number : impl.numbers) {
    const re2::StringPiece& piece = impl.found[number];
    found.emplace_back(piece.data() == nullptr ? "" : piece.data(), piece.size());
  }
  return true;
}

}  // namespace tally::runtime::pattern
