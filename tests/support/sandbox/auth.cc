#include "tests/support/sandbox/auth.h"

#include "tests/support/sandbox/behaviour.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace tally::sandbox {
namespace {

using runtime::http::Request;

std::string decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;
    bits = (bits << 6U) | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xffU);
  }
  return out;
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// What follows the scheme, whose case does not matter; "" when it is another.
std::string_view after_scheme(std::string_view value, std::string_view scheme) {
  const bool is_it =
      value.size() > scheme.size() && std::equal(scheme.begin(), scheme.end(), value.begin(),
                                                 [](char a, char b) { return a == lower(b); });
  return is_it ? value.substr(scheme.size()) : "";
}

// The secret key of the request, from either scheme; "" when there is none.
std::string api_key(const Request& request) {
  const std::string_view value = request.header("Authorization");
  const std::string_view bearer = after_scheme(value, "bearer ");
  if (!bearer.empty()) return std::string(bearer);
  const std::string pair = decode_base64(after_scheme(value, "basic "));
  return pair.substr(0, pair.find(':'));
}

Reply unauthorized(std::string_view message) {
  Reply reply = error_reply(401, "invalid_request_error", message);
  reply.headers["WWW-Authenticate"] = "Basic realm=\"Stripe\"";
  return reply;
}

}  // namespace

std::string_view bearer_of(const Request& request) {
  return after_scheme(request.header("Authorization"), "bearer ");
}

Refused check_key(const Request& request) {
  const std::string key = api_key(request);
  if (key.empty()) {
    return unauthorized("You did not provide an API key. Give it as Authorization: Bearer KEY.");
  }
  const bool is_test = key.starts_with("sk_test_") || key.starts_with("rk_test_");
  if (!is_test || key.size() == 8) {
    return unauthorized("Invalid API Key provided; this sandbox takes sk_test_* and rk_test_*.");
  }
  if (key.substr(8).starts_with("forbidden")) {
    return error_reply(403, "invalid_request_error",
                       "The provided key does not have the permissions for this.");
  }
  return std::nullopt;
}

Refused check_version(const Request& request) {
  const std::string_view version = request.header("Stripe-Version");
  if (version.empty() || is_version(version)) return std::nullopt;
  return invalid_request(fmt::format("Invalid Stripe API version: {}", version));
}

Refused check_body_type(const Request& request) {
  if (request.method != "POST" || request.body.empty()) return std::nullopt;
  if (request.path().starts_with("/v2/")) {
    if (request.header("Content-Type").starts_with("application/json")) return std::nullopt;
    return invalid_request("Invalid request (your POST content type must be application/json).");
  }
  if (request.header("Content-Type").starts_with("application/x-www-form-urlencoded")) {
    return std::nullopt;
  }
  return invalid_request(
      "Invalid request (check that your POST content type is application/x-www-form-urlencoded).");
}

}  // namespace tally::sandbox
