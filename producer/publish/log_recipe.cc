#include "producer/publish/log_recipe.h"

#include "core/json_cursor.h"
#include "core/limits.h"
#include "runtime/crypto/crypto.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace tally::producer::publish {

const std::string_view kCombinedPattern =
    R"re(^\S+ \S+ (?P<tenant>\S+) \[(?P<time>[^\]]+)\] )re"
    R"re("(?P<method>[A-Z]+) (?P<path>[^ ?"]*)[^"]*" (?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-))re";

namespace {

constexpr std::string_view kAbsent = "-";          // as access logs write what is not there
constexpr std::string_view kUnauthorised = "401";  // whoever asked gave a name that is not his
constexpr std::size_t kMaxFirstLineBytes = 1024;
constexpr std::size_t kIdHashDigits = 32;
constexpr std::size_t kMaxMadeIdBytes = 20 + 1 + kIdHashDigits;  // an offset, a dash and the hash

std::string_view first_line(const FileMark& file) {
  const std::string_view head(file.head);
  return head.substr(0, std::min(head.find('\n'), kMaxFirstLineBytes));
}

}  // namespace

LogRecipe::LogRecipe(LogOptions options, runtime::pattern::Pattern pattern)
    : options_(std::move(options)), pattern_(std::move(pattern)) {}

core::Result<std::unique_ptr<Recipe>> LogRecipe::make_from(LogOptions options) {
  auto pattern = runtime::pattern::Pattern::compile(options.pattern);
  if (!pattern) return pattern.error();
  auto recipe = std::make_unique<LogRecipe>(std::move(options), std::move(pattern.value()));
  const auto bound = recipe->bind();
  if (!bound) return bound.error();
  return std::unique_ptr<Recipe>(std::move(recipe));
}

core::Result<void> LogRecipe::bind() {
  const auto& groups = pattern_.groups();
  const auto group = [&](std::string_view name) -> std::optional<std::size_t> {
    const auto at = std::find(groups.begin(), groups.end(), name);
    if (at == groups.end()) return std::nullopt;
    return static_cast<std::size_t>(at - groups.begin());
  };
  id_ = group("id");
  if (options_.status_tells_who) status_ = group("status");
  time_ = group("time");
  if (!id_ && !time_) {
    return core::invalid(
        "the pattern has neither a group id nor a group time: without both, lines of two files "
        "cannot be told apart when they are read again; add (?P<time>…)");
  }
  event_.subject = options_.tenant;
  event_.type = options_.type;
  event_.source = options_.source;
  using Attribute = std::tuple<std::string_view, const std::string*, std::optional<std::size_t>*>;
  for (const auto& [name, text, into] :
       std::array<Attribute, 3>{{{"tenant", &options_.tenant, &tenant_},
                                 {"type", &options_.type, &type_},
                                 {"source", &options_.source, &source_}}}) {
    if (text->empty()) *into = group(name);
    if (!text->empty() || *into) continue;
    return core::invalid(fmt::format(
        "the events have no {}: give --{}, or a group (?P<{}>…) in the pattern", name, name, name));
  }
  using Text = std::tuple<std::string_view, const std::string&, std::size_t>;
  for (const auto& [name, text, max_bytes] :
       {Text{"tenant", options_.tenant, core::kMaxTenantIdBytes},
        Text{"type", options_.type, core::kMaxEventTypeBytes},
        Text{"source", options_.source, core::kMaxSourceBytes},
        Text{"id-prefix", options_.id_prefix, core::kMaxRequestIdBytes - kMaxMadeIdBytes}}) {
    if (text.empty()) continue;
    if (auto error = core::attribute_error(name, text, max_bytes)) return *error;
  }
  constexpr std::array<std::string_view, 5> kAttributes = {"id", "time", "tenant", "type",
                                                           "source"};
  for (const std::string& number : options_.numbers) {
    if (group(number)) continue;
    return core::invalid(
        fmt::format("numbers names `{}`, and the pattern has no such group; it has "
                    "{}",
                    number, fmt::join(groups, ", ")));
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (std::find(kAttributes.begin(), kAttributes.end(), groups[i]) != kAttributes.end()) continue;
    const bool number = std::find(options_.numbers.begin(), options_.numbers.end(), groups[i]) !=
                        options_.numbers.end();
    const auto added = data_.add({.path = groups[i],
                                  .origin = "group " + groups[i],
                                  .from = i,
                                  .as = number ? As::kNumber : As::kString,
                                  .may_be_empty = true});
    if (!added) return added;
  }
  return boost::outcome_v2::success();
}

std::string_view LogRecipe::found(const std::optional<std::size_t>& group) const {
  return group ? found_[*group] : std::string_view();
}

void LogRecipe::take(const std::optional<std::size_t>& group, std::string& into) const {
  if (group) into = found_[*group];
}

core::Result<void> LogRecipe::take_id(const Record& record) {
  if (id_) {
    event_.id = found(id_);
    return boost::outcome_v2::success();
  }
  const std::string hash =
      runtime::crypto::to_hex(runtime::crypto::hmac_sha256(first_line(*record.file), record.text));
  event_.id = fmt::format("{}{}-{}", options_.id_prefix, record.offset,
                          std::string_view(hash).substr(0, kIdHashDigits));
  return boost::outcome_v2::success();
}

core::Result<void> LogRecipe::take_time() {
  if (!time_) return boost::outcome_v2::success();
  const auto time = options_.time_format.read(found(time_));
  if (!time) return core::invalid("group time: " + time.error().message);
  event_.time = time.value();
  return boost::outcome_v2::success();
}

core::Result<Made> LogRecipe::unmatched(std::string_view why) const {
  if (options_.unmatched_is_wrong) return core::invalid(std::string(why));
  return Made::kUnmatched;
}

core::Result<Made> LogRecipe::make(const Record& record, Message& out) {
  if (record.text.empty()) return Made::kBlank;
  // RE2 would find no match, and nobody would miss the line.
  if (!core::valid_utf8(record.text)) {
    return core::invalid(
        "the line is not UTF-8: write the log as UTF-8, or with such bytes escaped");
  }
  if (!pattern_.find(record.text, found_)) return unmatched("the line does not match the pattern");
  std::replace(found_.begin(), found_.end(), kAbsent, std::string_view());
  if (status_ && found(status_) == kUnauthorised)
    return unmatched("the request was not authorised");
  if (tenant_ && found(tenant_).empty()) return unmatched("the line names no tenant");
  take(tenant_, event_.subject);
  take(type_, event_.type);
  take(source_, event_.source);
  auto taken = take_id(record);
  if (taken) taken = take_time();
  event_.data.clear();
  if (taken) taken = data_.write(found_, event_.data);
  if (taken) taken = core::validate(event_);
  if (!taken) return taken.error();
  value_.clear();
  core::append_structured(event_, value_);
  out = {event_.id, value_};
  return Made::kMessage;
}

}  // namespace tally::producer::publish
