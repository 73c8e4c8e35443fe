// Where Stripe is and which key it gets. The rule that nothing leaves the machine without a key
// stands here, and nowhere else.
#pragma once

#include "core/result.h"
#include "runtime/config/settings.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace tally::runtime::stripe {

// Stripe-Version of every request: answers keep their shape when the account's default moves.
inline constexpr std::string_view kVersion = "2026-10-28.endive";
inline constexpr std::string_view kRealUrl = "https://api.stripe.com";
inline constexpr std::string_view kSandboxUrl = "http://127.0.0.1:12111";

struct Endpoint {
  std::string url;  // "https://api.stripe.com" or the local sandbox
  std::string key;  // never logged
  std::chrono::milliseconds timeout{30'000};
};

// Nothing but loopback may be reached without a real key. `host` is in the URL's words: names do
// not resolve here, so only 127.x.x.x, [::1] and localhost are loopback.
[[nodiscard]] bool is_loopback_url(std::string_view url);

// What was given for it; "" where nothing was.
struct Given {
  std::string url;
  std::string key;                // never logged
  bool is_key_customary = false;  // it came by STRIPE_SECRET_KEY
  std::chrono::milliseconds timeout{30'000};
};

// An empty `url` is api.stripe.com with a key, and the local sandbox without; without a key the
// sandbox's own is sent. Refuses a URL that is none, another machine without a key of key_shape, a
// key in clear text, and a customary key without a URL: an environment that was made for another
// program does not choose the real Stripe.
[[nodiscard]] core::Result<Endpoint> endpoint_of(const Given& given);

enum class KeyKind { kSecret, kRestricted };
enum class KeyMode { kTest, kLive };
struct KeyShape {
  KeyKind kind = KeyKind::kSecret;
  KeyMode mode = KeyMode::kTest;
  std::string_view prefix;  // "sk_test_": all of a key that may be shown; never dangles
};
// nullopt: no key that a server of Stripe's takes here (a publishable one, a webhook's secret).
[[nodiscard]] std::optional<KeyShape> key_shape(std::string_view key);

// The settings that whatever speaks to Stripe declares, and the endpoint that they name.
inline constexpr config::Option kUrlOption{
    "stripe-url", config::Kind::kText, "",
    "Where Stripe is; empty: api.stripe.com with a key, the local sandbox "
    "(http://127.0.0.1:12111) without. With STRIPE_SECRET_KEY it must be set."};
inline constexpr config::Option kKeyOption{
    "stripe-key",
    config::Kind::kText,
    "",
    "Stripe's secret or restricted key; without one only loopback is spoken to.",
    0,
    0,
    false,
    true,
    "STRIPE_SECRET_KEY"};
inline constexpr config::Option kTimeoutOption{"stripe-timeout-ms",
                                               config::Kind::kInteger,
                                               "30000",
                                               "Milliseconds after which an answer counts as lost.",
                                               100,
                                               120'000};
[[nodiscard]] Given given_in(const config::Settings& settings);

}  // namespace tally::runtime::stripe
