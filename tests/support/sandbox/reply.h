// What an endpoint answers, before it becomes HTTP.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::sandbox {

// Whether an idempotency key keeps this answer: Stripe keeps what an endpoint decided (a 500 too),
// and forgets refusals made before it began.
enum class Keep { kNo, kYes };

struct Reply {
  int status = 200;
  nlohmann::json body;
  Keep keep = Keep::kYes;
  std::map<std::string, std::string> headers = {};
  bool rejects_later = false;  // of the events that it took one is rejected, as a fault asked for
};

// Throws nlohmann::json::exception when `value` is none of 64 bits (nlohmann takes 1.9 for 1).
[[nodiscard]] std::int64_t whole_number(const nlohmann::json& value);

using Refused = std::optional<Reply>;  // nullopt: nothing to object to

// A 400 before the endpoint begins (shape of the request); never kept.
[[nodiscard]] Reply invalid_request(std::string_view message, std::string_view code = "",
                                    std::string_view param = "");
// A 400 that the endpoint itself decides; kept.
[[nodiscard]] Reply declined(std::string_view message, std::string_view code = "");
[[nodiscard]] Reply error_reply(int status, std::string_view type, std::string_view message,
                                std::string_view code = "");

// "Mon, 23 Nov 2026 02:30:00 GMT", as the Date header has it.
[[nodiscard]] std::string http_date(std::int64_t unix_seconds);

// One page of `rows`, which outlive the call (objects with an "id", in the order of the answer) as
// Stripe's lists cut it: `limit` 1..100, default 10, after or before an id. A cursor that is not
// there is refused.
struct PageRequest {
  std::int64_t limit = 10;
  std::string starting_after;
  std::string ending_before;
};
[[nodiscard]] Reply page_of(const std::vector<const nlohmann::json*>& rows,
                            const PageRequest& request, std::string_view url);
// The same of an array.
[[nodiscard]] Reply page_of(const nlohmann::json& rows, const PageRequest& request,
                            std::string_view url);

}  // namespace tally::sandbox
