#include "tests/support/sandbox/reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

namespace tally::sandbox {

using nlohmann::json;

std::int64_t whole_number(const json& value) {
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max());
  if (!fits) throw json::type_error::create(302, "a whole number is asked for", &value);
  return value.get<std::int64_t>();
}

std::string http_date(std::int64_t unix_seconds) {
  const std::time_t seconds = unix_seconds;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 40> text{};  // of the C locale, as long as nobody sets another
  return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

Reply error_reply(int status, std::string_view type, std::string_view message,
                  std::string_view code) {
  json error = {{"type", type}, {"message", message}};
  if (!code.empty()) error["code"] = code;
  return {status, {{"error", std::move(error)}}, Keep::kNo};
}

Reply invalid_request(std::string_view message, std::string_view code, std::string_view param) {
  Reply reply = error_reply(400, "invalid_request_error", message, code);
  if (!param.empty()) reply.body["error"]["param"] = param;
  return reply;
}

Reply declined(std::string_view message, std::string_view code) {
  Reply reply = error_reply(400, "invalid_request_error", message, code);
  reply.keep = Keep::kYes;
  return reply;
}

Reply page_of(const json& rows, const PageRequest& request, std::string_view url) {
  std::vector<const json*> all;
  for (const json& row : rows) all.push_back(&row);
  return page_of(all, request, url);
}

Reply page_of(const std::vector<const json*>& rows, const PageRequest& request,
              std::string_view url) {
  if (request.limit < 1 || request.limit > 100) {
    return invalid_request("This value must be between 1 and 100.", "parameter_invalid_integer",
                           "limit");
  }
  const auto position = [&](const std::string& id) {
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const json* row) { return (*row)["id"] == id; });
    return static_cast<std::size_t>(found - rows.begin());
  };
  const std::size_t count = static_cast<std::size_t>(request.limit);
  std::size_t begin = 0;
  std::size_t end = rows.size();
  const bool backward = !request.ending_before.empty();
  if (!request.starting_after.empty()) begin = position(request.starting_after) + 1;
  if (backward) end = position(request.ending_before);
  if (begin > rows.size() || (backward && end == rows.size())) {
    return invalid_request("No such object to page from.", "resource_missing",
                           backward ? "ending_before" : "starting_after");
  }
  begin = std::min(begin, end);
  const bool more = end - begin > count;
  if (more && backward) begin = end - count;
  if (more && !backward) end = begin + count;
  json page = json::array();
  for (std::size_t i = begin; i < end; ++i) page.push_back(*rows[i]);
  return {200, {{"object", "list"}, {"data", std::move(page)}, {"has_more", more}, {"url", url}}};
}

}  // namespace tally::sandbox
