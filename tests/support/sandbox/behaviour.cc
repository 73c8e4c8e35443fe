#include "tests/support/sandbox/behaviour.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <type_traits>
#include <vector>

namespace tally::sandbox {
namespace {

using nlohmann::json;
using Names = std::vector<std::string_view>;

constexpr std::int64_t kMaxDelayMs = 600'000;
constexpr std::int64_t kLongestSeconds = 35 * kDaySeconds;

struct Integer {
  std::string_view name;
  std::int64_t Behaviour::* member;
  std::int64_t min;
  std::int64_t max;
};
struct Switch {
  std::string_view name;
  bool Behaviour::* member;
};
// Its names in the order of the enum.
struct Choice {
  std::string_view name;
  Names names;
  std::function<std::size_t(const Behaviour&)> get;
  std::function<void(Behaviour&, std::size_t)> set;
};

template <auto Member>
Choice choice(std::string_view name, Names names) {
  return {name, std::move(names),
          [](const Behaviour& of) { return static_cast<std::size_t>(of.*Member); },
          [](Behaviour& of, std::size_t index) {
            of.*Member = static_cast<std::remove_cvref_t<decltype(of.*Member)>>(index);
          }};
}

constexpr std::array kIntegers = {
    Integer{"answer_delay_ms", &Behaviour::answer_delay_ms, 0, kMaxDelayMs},
    Integer{"identifier_window_s", &Behaviour::identifier_window_s, kIdentifierSeconds,
            kLongestSeconds},
    Integer{"apply_delay_min_s", &Behaviour::apply_delay_min_s, 0, kLongestSeconds},
    Integer{"apply_delay_max_s", &Behaviour::apply_delay_max_s, 0, kLongestSeconds},
    Integer{"seed", &Behaviour::seed, 0, 1'000'000'000},
    Integer{"error_samples", &Behaviour::error_samples, 1, 100},
    Integer{"concurrent_calls", &Behaviour::concurrent_calls, 0, 100'000},
    Integer{"limiter_retry_after_s", &Behaviour::limiter_retry_after_s, 0, 3'600},
    Integer{"grace_s", &Behaviour::grace_s, 3'600, 72 * 3'600},
    Integer{"update_grace_s", &Behaviour::update_grace_s, 0, 72 * 3'600},
    Integer{"read_budget", &Behaviour::read_budget, 0, 1'000'000'000},
};
constexpr std::array kSwitches = {
    Switch{"version_echo", &Behaviour::version_echo},
    Switch{"count_needs_value", &Behaviour::count_needs_value},
    Switch{"zero_lines", &Behaviour::zero_lines},
    Switch{"cancel_preaggregated", &Behaviour::cancel_preaggregated},
};
constexpr std::array<std::string_view, kChecks> kCheckNames = {"meter", "payload", "value",
                                                               "timestamp", "customer"};

const std::vector<Choice>& choices() {
  static const std::vector<Choice> all = {
      choice<&Behaviour::identifier_scope>("identifier_scope", {"account", "event_name"}),
      choice<&Behaviour::spent_identifiers>("spent_identifiers", {"burnt", "freed"}),
      choice<&Behaviour::unknown_customers>("unknown_customers", {"accept", "reject"}),
      choice<&Behaviour::values>("values", {"decimal", "integer", "positive_integer"}),
      choice<&Behaviour::concurrency>("concurrency",
                                      {"409", "lock_timeout", "rate_limited", "off"}),
      choice<&Behaviour::rate_limits>("rate_limits", {"off", "test", "live"}),
      choice<&Behaviour::summary_arithmetic>("summary_arithmetic", {"exact", "doubles"}),
      choice<&Behaviour::invoice_arithmetic>("invoice_arithmetic", {"exact", "doubles"}),
      choice<&Behaviour::error_request>("error_request", {"identifier", "idempotency_key"}),
      choice<&Behaviour::webhook_retries>("webhook_retries", {"live", "test"}),
      choice<&Behaviour::stream_rate>("stream_rate", {"events", "requests"}),
      choice<&Behaviour::payments>("payments", {"succeed", "fail", "manual"}),
      choice<&Behaviour::limiter_should_retry>("limiter_should_retry", {"absent", "true", "false"}),
  };
  return all;
}

bool is_account(std::string_view text) {
  constexpr std::string_view kPrefix = "acct_";
  return text.size() > kPrefix.size() && text.starts_with(kPrefix) &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
             std::string_view::npos;
}

Refused wrong(std::string_view name, std::string_view wanted) {
  return invalid_request(fmt::format("{} is {}", name, wanted), "", name);
}

template <typename Fields>
auto find(const Fields& fields, std::string_view name) {
  return std::find_if(fields.begin(), fields.end(),
                      [&](const auto& field) { return field.name == name; });
}

// The place of `value` among `names`; nullopt when it is none of them.
template <typename List>
std::optional<std::size_t> index_of(const List& names, const json& value) {
  if (!value.is_string()) return std::nullopt;
  const auto found = std::find(names.begin(), names.end(), value.get<std::string>());
  if (found == names.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names.begin());
}

Refused change_checks(const json& value, std::array<bool, kChecks>& out) {
  const Refused refused =
      wrong("async_checks", fmt::format("a list of: {}", fmt::join(kCheckNames, ", ")));
  if (!value.is_array()) return refused;
  out = {};
  for (const json& name : value) {
    const auto index = index_of(kCheckNames, name);
    if (!index) return refused;
    out[*index] = true;
  }
  return std::nullopt;
}

Refused change_codes(const json& value, std::map<std::string, std::string>& out) {
  const bool texts =
      value.is_object() &&
      std::all_of(value.begin(), value.end(), [](const json& code) { return code.is_string(); });
  if (!texts) return wrong("error_codes", "an object: code -> the code shown instead, or \"\"");
  out = value.get<std::map<std::string, std::string>>();
  return std::nullopt;
}

Refused change_one(Behaviour& of, const std::string& name, const json& value) {
  if (const auto* field = find(kIntegers, name); field != kIntegers.end()) {
    const bool fits = value.is_number_integer() && value >= field->min && value <= field->max;
    if (!fits) return wrong(name, fmt::format("from {} to {}", field->min, field->max));
    of.*field->member = value.get<std::int64_t>();
    return std::nullopt;
  }
  if (const auto* field = find(kSwitches, name); field != kSwitches.end()) {
    if (!value.is_boolean()) return wrong(name, "true or false");
    of.*field->member = value.get<bool>();
    return std::nullopt;
  }
  if (const auto field = find(choices(), name); field != choices().end()) {
    const auto index = index_of(field->names, value);
    if (!index) return wrong(name, fmt::format("one of: {}", fmt::join(field->names, ", ")));
    field->set(of, *index);
    return std::nullopt;
  }
  if (name == "async_checks") return change_checks(value, of.async_checks);
  if (name == "api_version") {
    if (!value.is_string() || !is_version(value.get_ref<const std::string&>())) {
      return wrong(name, "a version of Stripe's API, such as 2024-06-20");
    }
    of.api_version = value;
    return std::nullopt;
  }
  if (name == "account") {
    if (!value.is_string() || !is_account(value.get_ref<const std::string&>())) {
      return wrong(name, "an id such as acct_test_1");
    }
    of.account = value;
    return std::nullopt;
  }
  if (name == "error_codes") return change_codes(value, of.error_codes);
  return invalid_request(fmt::format("there is no setting {}", name), "", name);
}

}  // namespace

bool is_version(std::string_view text) {
  static constexpr std::string_view kShape = "dddd-dd-dd";
  if (text.size() < kShape.size()) return false;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] == 'd' ? !digit(text[i]) : text[i] != kShape[i]) return false;
  }
  const std::string_view name = text.substr(kShape.size());
  return name.empty() || (name.size() > 1 && name[0] == '.');
}

json Behaviour::shown() const {
  json out;
  for (const Integer& field : kIntegers) out[field.name] = this->*field.member;
  for (const Switch& field : kSwitches) out[field.name] = this->*field.member;
  for (const Choice& field : choices()) out[field.name] = field.names[field.get(*this)];
  out["async_checks"] = json::array();
  for (std::size_t i = 0; i < kChecks; ++i) {
    if (async_checks[i]) out["async_checks"].push_back(kCheckNames[i]);
  }
  out["account"] = account;
  out["api_version"] = api_version;
  out["error_codes"] = error_codes;
  return out;
}

Refused Behaviour::change(const json& wanted) {
  if (!wanted.is_object()) return invalid_request("settings are an object");
  Behaviour changed = *this;
  for (const auto& [name, value] : wanted.items()) {
    if (auto refused = change_one(changed, name, value)) return refused;
  }
  if (changed.apply_delay_min_s > changed.apply_delay_max_s) {
    return wrong("apply_delay_min_s", "at most apply_delay_max_s");
  }
  *this = std::move(changed);
  return std::nullopt;
}

}  // namespace tally::sandbox
