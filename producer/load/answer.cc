#include "producer/load/answer.h"

#include "core/json_value.h"
#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace tally::producer::load {
namespace {

using core::JsonValue;
using runtime::http::Fate;
using runtime::http::Outcome;
using runtime::http::Response;
using std::chrono::seconds;

// That say that nothing was taken, and may go better.
constexpr std::array<std::string_view, 5> kTookNothing = {
    "429 too_many_in_flight", "503 queue_full", "503 closed", "503 stopping", "503 overloaded"};

constexpr std::size_t kMaxShownBytes = 300;
constexpr std::size_t kMaxCodeBytes = 40;
// Where Retry-After is a date, which tally's daemon never says; and where it says nonsense.
constexpr seconds kUnreadWait{1};
constexpr seconds kLongestWait{3'600};

template <typename Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<seconds> retry_after(const Response& response) {
  const std::string_view said = response.header("Retry-After");
  if (said.empty()) return std::nullopt;
  const auto number = whole_number<std::uint32_t>(said);
  return number ? std::min(seconds(*number), kLongestWait) : kUnreadWait;
}

std::string text_of(const JsonValue& problem, std::string_view name) {
  const JsonValue* found = problem.find(name);
  return found != nullptr && found->kind == JsonValue::Kind::kString ? found->text : "";
}

// False where it is no list of places below `events`.
bool read_places(const JsonValue& problem, std::string_view name, std::size_t events,
                 std::vector<std::size_t>& places) {
  const JsonValue* list = problem.find(name);
  if (list == nullptr || list->kind != JsonValue::Kind::kArray) return false;
  for (const JsonValue& one : list->children) {
    const auto place = whole_number<std::size_t>(one.text);
    if (!place || *place >= events) return false;
    places.push_back(*place);
  }
  return true;
}

// 4xx is said of the request before anything of it is taken. A proxy's 5xx, or a bug's, may stand
// behind what was kept.
Answer of_problem(const Response& response, std::size_t events) {
  Answer answer;
  const bool may_pass = response.status == 429 || response.status >= 500;
  if (may_pass) answer.again = Again::kMay;
  answer.end = response.status >= 400 && !may_pass ? End::kRefused : End::kUnanswered;
  answer.reason = std::to_string(response.status);
  answer.complaint = fmt::format("the daemon answered {}: {}", response.status,
                                 core::printable_ascii(response.body, kMaxShownBytes));
  const auto problem = core::parse_json(response.body);
  if (!problem || problem.value().kind != JsonValue::Kind::kObject) return answer;
  const std::string code = core::printable_ascii(text_of(problem.value(), "code"), kMaxCodeBytes);
  if (!code.empty()) answer.reason += " " + code;
  answer.complaint =
      fmt::format("the daemon answered {}: {}", answer.reason,
                  core::printable_ascii(text_of(problem.value(), "detail"), kMaxShownBytes));
  if (std::ranges::find(kTookNothing, answer.reason) != kTookNothing.end()) {
    answer.end = End::kRefused;
  }
  if (answer.reason != kNotAllKeptReason) return answer;
  const bool read = read_places(problem.value(), "not_kept", events, answer.not_kept) &&
                    read_places(problem.value(), "unknown", events, answer.unknown);
  if (read) {
    answer.end = End::kAcked;
  } else {
    answer.not_kept.clear();
    answer.unknown.clear();
  }
  return answer;
}

}  // namespace

Answer read_answer(const Outcome& outcome, std::size_t events) {
  switch (outcome.fate) {
    case Fate::kNotSent:
      return {.end = End::kNotSent,
              .reason = "no connection",
              .again = Again::kMay,
              .complaint = outcome.problem};
    case Fate::kUnknown:
      return {.end = End::kUnanswered, .again = Again::kMay, .complaint = outcome.problem};
    case Fate::kAnswered:
      break;
  }
  if (outcome.response.status == 202) return {.end = End::kAcked};
  Answer answer = of_problem(outcome.response, events);
  answer.wait = retry_after(outcome.response);
  return answer;
}

}  // namespace tally::producer::load
