#include "aggregator/json_index.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

namespace tally::aggregator {

namespace {

constexpr std::size_t kLeastCapacity = 4096;

JsonFault fault_of(simdjson::error_code error) { return static_cast<JsonFault>(error); }
static_assert(static_cast<int>(JsonFault::kNone) == simdjson::SUCCESS);
static_assert(static_cast<int>(JsonFault::kStructure) == simdjson::TAPE_ERROR);
static_assert(static_cast<int>(JsonFault::kString) == simdjson::STRING_ERROR);
static_assert(static_cast<int>(JsonFault::kUtf8) == simdjson::UTF8_ERROR);
static_assert(static_cast<int>(JsonFault::kType) == simdjson::INCORRECT_TYPE);
static_assert(static_cast<int>(JsonFault::kIncomplete) == simdjson::INCOMPLETE_ARRAY_OR_OBJECT);

bool is_opening(char c) { return c == '{' || c == '['; }
bool is_closing(char c) { return c == '}' || c == ']'; }

bool ends_an_atom(char c) {
  constexpr std::string_view kEnds = ",:[]{} \t\n\r";
  return kEnds.find(c) != std::string_view::npos;
}

}  // namespace

const char* to_string(JsonFault fault) {
  return simdjson::error_message(static_cast<simdjson::error_code>(fault));
}

JsonIndex::JsonIndex() = default;
JsonIndex::~JsonIndex() = default;

JsonFault JsonIndex::reserve(std::size_t bytes) {
  const std::size_t wanted = std::max(kLeastCapacity, 2 * bytes);
  const auto error = stage_ == nullptr
                         ? simdjson::get_active_implementation()->create_dom_parser_implementation(
                               wanted, simdjson::DEFAULT_MAX_DEPTH, stage_)
                         : stage_->set_capacity(wanted);
  capacity_ = error == simdjson::SUCCESS ? wanted : 0;
  return fault_of(error);
}

JsonFault JsonIndex::build(std::string_view text) {
  if (text.size() > capacity_) {
    if (const auto fault = reserve(text.size()); fault != JsonFault::kNone) return fault;
  }
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto error = stage_->stage1(bytes, text.size(), simdjson::stage1_mode::regular);
  if (error != simdjson::SUCCESS) return fault_of(error);
  text_ = text.data();
  size_ = text.size();
  const void* const escape = std::memchr(text_, '\\', size_);
  first_escape_ = escape == nullptr ? text_ + size_ : static_cast<const char*>(escape);
  unescaped_size_ = 0;
  std::uint32_t* const tokens = stage_->structural_indexes.get();
  at_ = tokens;
  end_ = tokens + stage_->n_structural_indexes;
  // Two more than there are, as simdjson leaves room for: a step may look one token ahead.
  tokens[stage_->n_structural_indexes] = tokens[stage_->n_structural_indexes + 1] = tokens[0];
  return JsonFault::kNone;
}

JsonFault JsonIndex::root_object() const {
  if (token() != '{') return JsonFault::kType;
  return text_[end_[-1]] == '}' ? JsonFault::kNone : JsonFault::kIncomplete;
}

JsonFault JsonIndex::pass_object() {
  const std::size_t unescaped_before = unescaped_size_;
  JsonFault fault = JsonFault::kNone;
  enter_object();
  static_cast<void>(each_member(fault, [](std::string_view, NameHead) { return true; }));
  unescaped_size_ = unescaped_before;
  return fault;
}

JsonFault JsonIndex::leave_object() {
  if (token() != '}') return skip(1);
  step();
  return JsonFault::kNone;
}

bool JsonIndex::is_atom(std::string_view atom) const {
  const std::string_view rest(text_ + *at_, size_ - *at_);
  return rest.size() > atom.size() && rest.starts_with(atom) && ends_an_atom(rest[atom.size()]);
}

// Counts brackets and looks at nothing else, as simdjson's On-Demand does: what was accepted once
// is accepted ever after.
JsonFault JsonIndex::skip(int depth) {
  const char first = take();
  if (first == '"' && token() == ':') {
    step();
  } else if (!is_opening(first) && first != ':' && first != ',' && --depth == 0) {
    return JsonFault::kNone;
  }
  while (at_ < end_) {
    const char next = take();
    if (is_opening(next)) ++depth;
    if (is_closing(next) && --depth == 0) return JsonFault::kNone;
  }
  return JsonFault::kStructure;
}

JsonFault JsonIndex::take_raw_object(std::string_view& raw) {
  const char* const begin = text_ + *at_;
  step();
  if (token() == '}') {
    step();
  } else {
    const bool at_name = token() == '"';
    if (at_name && text_[at_[1]] != ':') return JsonFault::kStructure;
    if (at_name) at_ += 2;
    if (const auto fault = skip(at_name ? 2 : 1); fault != JsonFault::kNone) return fault;
  }
  const char* const end = text_ + (at_end() ? size_ : *at_);
  raw = without_space({begin, static_cast<std::size_t>(end - begin)});
  return JsonFault::kNone;
}

// simdjson reads and writes whole registers: both ends get room for one more.
JsonFault JsonIndex::unescape(std::string_view& text) {
  constexpr std::size_t kRoom = simdjson::SIMDJSON_PADDING;
  if (unescaped_size_ == 0 && unescaped_.size() < size_ + kRoom) unescaped_.resize(size_ + kRoom);
  if (escaped_.size() < text.size() + 1 + kRoom) escaped_.resize(size_ + kRoom);
  // None grows by it, so only strings that are read twice need more.
  if (unescaped_size_ + text.size() + kRoom > unescaped_.size()) return JsonFault::kStructure;
  std::memcpy(escaped_.data(), text.data(), text.size());
  escaped_[text.size()] = '"';
  text = {};
  char* const to = unescaped_.data() + unescaped_size_;
  const auto* const end = stage_->parse_string(
      reinterpret_cast<const std::uint8_t*>(escaped_.data()), reinterpret_cast<std::uint8_t*>(to));
  if (end == nullptr) return JsonFault::kString;
  text = std::string_view(to, static_cast<std::size_t>(reinterpret_cast<const char*>(end) - to));
  unescaped_size_ += text.size();
  return JsonFault::kNone;
}

}  // namespace tally::aggregator
