#include "runtime/stripe/endpoint.h"

#include <array>

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

core::Result<Endpoint> endpoint_of(const std::string& url, const std::string& key,
                                   std::chrono::milliseconds timeout) {
  Endpoint endpoint{url, key, timeout};
  if (url.empty()) endpoint.url = key.empty() ? kSandboxUrl : kRealUrl;
  const bool loopback = is_loopback_url(endpoint.url);
  if (key.empty() && !loopback) {
    return core::invalid("--stripe-url is " + endpoint.url +
                         ", and without a key only this machine is spoken to: set "
                         "TALLY_STRIPE_KEY or STRIPE_SECRET_KEY, give --stripe-key-file, or use "
                         "the sandbox");
  }
  if (!loopback && !endpoint.url.starts_with("https://")) {
    return core::invalid("--stripe-url is " + endpoint.url +
                         ", which would send the key in clear text: use https://");
  }
  if (key.empty()) endpoint.key = kSandboxKey;
  return endpoint;
}

core::Result<Endpoint> endpoint_of(const config::Settings& settings) {
  return endpoint_of(settings.text(kUrlOption.name), settings.text(kKeyOption.name),
                     std::chrono::milliseconds(settings.integer(kTimeoutOption.name)));
}

std::optional<KeyShape> key_shape(std::string_view key) {
  for (const KeyShape& shape : kShapes) {
    const bool fits = key.starts_with(shape.prefix) && key.size() > shape.prefix.size();
    if (fits && key.find_first_of(" \t\"'") == std::string_view::npos) return shape;
  }
  return std::nullopt;
}

}  // namespace tally::runtime::stripe
