#include "runtime/stripe/endpoint.h"

#include "runtime/http/client.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace tally::runtime::stripe {
namespace {

// The sandbox takes any test key.
constexpr std::string_view kSandboxKey = "sk_test_local";

constexpr std::array<KeyShape, 4> kShapes = {{
    {KeyKind::kSecret, KeyMode::kTest, "sk_test_"},
    {KeyKind::kSecret, KeyMode::kLive, "sk_live_"},
    {KeyKind::kRestricted, KeyMode::kTest, "rk_test_"},
    {KeyKind::kRestricted, KeyMode::kLive, "rk_live_"},
}};

}  // namespace

bool is_loopback_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  std::string_view host = url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.find('@') != std::string_view::npos) return false;
  if (host.starts_with("[")) return host == "[::1]" || host.starts_with("[::1]:");
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

core::Result<Endpoint> endpoint_of(const Given& given) {
  const bool has_key = !given.key.empty();
  if (given.url.empty() && has_key && given.is_key_customary) {
    return core::invalid(
        fmt::format("STRIPE_SECRET_KEY is set and --stripe-url is not: set --stripe-url {} too, or "
                    "TALLY_STRIPE_KEY= (empty) to leave the key out and use the sandbox",
                    kRealUrl));
  }
  Endpoint endpoint{given.url, given.key, given.timeout};
  if (given.url.empty()) endpoint.url = has_key ? kRealUrl : kSandboxUrl;
  const bool loopback = is_loopback_url(endpoint.url);
  if (!has_key && !loopback) {
    return core::invalid("--stripe-url is " + endpoint.url +
                         ", and without a key only this machine is spoken to: set "
                         "TALLY_STRIPE_KEY or STRIPE_SECRET_KEY, give --stripe-key-file, or use "
                         "the sandbox");
  }
  if (!loopback && !endpoint.url.starts_with("https://")) {
    return core::invalid("--stripe-url is " + endpoint.url +
                         ", which would send the key in clear text: use https://");
  }
  if (!loopback && !key_shape(given.key).has_value()) {
    return core::invalid(
        "the Stripe key is neither a secret key (sk_test_..., sk_live_...) nor a restricted one "
        "(rk_test_..., rk_live_...), so it is sent to nobody");
  }
  try {
    [[maybe_unused]] const http::Client checked(endpoint.url);
  } catch (const std::invalid_argument& wrong) {
    return core::invalid(fmt::format("--stripe-url: {}", wrong.what()));
  }
  if (!has_key) endpoint.key = kSandboxKey;
  return endpoint;
}

Given given_in(const config::Settings& settings) {
  return {settings.text(kUrlOption.name), settings.text(kKeyOption.name),
          settings.is_customary(kKeyOption.name),
          std::chrono::milliseconds(settings.integer(kTimeoutOption.name))};
}

std::optional<KeyShape> key_shape(std::string_view key) {
  for (const KeyShape& shape : kShapes) {
    const bool fits = key.starts_with(shape.prefix) && key.size() > shape.prefix.size();
    if (fits && key.find_first_of(" \t\"'") == std::string_view::npos) return shape;
  }
  return std::nullopt;
}

}  // namespace tally::runtime::stripe
