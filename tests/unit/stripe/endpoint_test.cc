#include "runtime/stripe/endpoint.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

namespace tally::runtime::stripe {
namespace {

using std::chrono::milliseconds;

TEST(StripeEndpoint, OnlyLoopbackIsLoopback) {
  for (const char* url :
       {"http://127.0.0.1:12111", "http://localhost", "http://[::1]:1/", "https://127.9.9.9"}) {
    EXPECT_TRUE(is_loopback_url(url)) << url;
  }
  for (const char* url :
       {"https://api.stripe.com", "http://127.0.0.1.example.org", "http://127.0.0.1@example.org",
        "http://localhost.example.org", "127.0.0.1:80", "http://[::2]"}) {
    EXPECT_FALSE(is_loopback_url(url)) << url;
  }
}

TEST(StripeEndpoint, WithoutAKeyNothingLeavesTheMachineAndNoKeyInClearText) {
  const auto endpoint = [](const char* url, const char* key) {
    return endpoint_of({.url = url, .key = key});
  };
  EXPECT_EQ(endpoint("", "").value().url, kSandboxUrl);
  EXPECT_EQ(endpoint("", "sk_test_1").value().url, kRealUrl);
  EXPECT_EQ(endpoint("", "sk_test_1").value().key, "sk_test_1");
  EXPECT_EQ(endpoint("http://127.0.0.1:1", "").value().url, "http://127.0.0.1:1");
  EXPECT_FALSE(endpoint("", "").value().key.empty());
  EXPECT_NE(endpoint("https://api.stripe.com", "").error().message.find("only this machine"),
            std::string::npos);
  EXPECT_NE(endpoint("http://api.stripe.com", "sk_test_1").error().message.find("clear text"),
            std::string::npos);
  for (const char* other : {"whsec_abc", "pk_live_abc", "abc"}) {
    const auto refused = endpoint("https://192.0.2.1", other);
    ASSERT_FALSE(refused) << "another secret does not leave the machine";
    EXPECT_EQ(refused.error().message.find("abc"), std::string::npos);
    EXPECT_TRUE(endpoint("http://127.0.0.1:1", other));
  }
  EXPECT_FALSE(endpoint("http://127.0.0.1:1/x", "sk_test_1"));
  EXPECT_FALSE(endpoint("http://127.0.0.1:1/x", ""));
}

TEST(StripeEndpoint, AKeyShowsItsKindAndItsMode) {
  EXPECT_EQ(key_shape("sk_test_1")->mode, KeyMode::kTest);
  EXPECT_EQ(key_shape("sk_live_1")->mode, KeyMode::kLive);
  EXPECT_EQ(key_shape("rk_live_1")->kind, KeyKind::kRestricted);
  EXPECT_EQ(key_shape("rk_test_abc")->prefix, "rk_test_");
  for (const char* other :
       {"", "sk_test_", "pk_test_1", "whsec_1", "sk_prod_1", "\"sk_test_1\"", "sk_test_1 2"}) {
    EXPECT_FALSE(key_shape(other).has_value()) << other;
  }
}

// Sets a variable for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST(StripeEndpoint, TheKeyComesByTallysVariableOrByTheOneThatOthersUseToo) {
  static constexpr std::array kOptions = {kUrlOption, kKeyOption, kTimeoutOption};
  static constexpr std::array kCommands = {
      config::Command{"speak", "Speaks to Stripe.", kOptions, {}, {}}};
  const auto parse = [](std::vector<const char*> words) {
    return config::parse("test", "A test.", kCommands, static_cast<int>(words.size()),
                         words.data());
  };
  const Variable customary("STRIPE_SECRET_KEY", "sk_test_customary");
  const auto endpoint = [&](const std::vector<const char*>& words) {
    return endpoint_of(given_in(*parse(words).settings));
  };
  const auto alone = endpoint({"test", "speak"});
  ASSERT_FALSE(alone) << "it does not choose the real Stripe";
  EXPECT_NE(alone.error().message.find("set --stripe-url https://api.stripe.com too"),
            std::string::npos);
  const auto real = endpoint({"test", "speak", "--stripe-url", "https://api.stripe.com"});
  EXPECT_EQ(real.value().key, "sk_test_customary");
  EXPECT_EQ(real.value().url, kRealUrl);
  EXPECT_EQ(real.value().timeout, milliseconds(30'000));
  {
    const Variable empty("TALLY_STRIPE_KEY", "");
    EXPECT_EQ(endpoint({"test", "speak"}).value().url, kSandboxUrl);
    EXPECT_NE(endpoint({"test", "speak"}).value().key, "sk_test_customary");
  }
  {
    const Variable own("TALLY_STRIPE_KEY", "sk_test_own");
    const auto both = endpoint({"test", "speak"});
    EXPECT_EQ(both.value().key, "sk_test_own");
    EXPECT_EQ(both.value().url, kRealUrl);
  }
  EXPECT_EQ(parse({"test", "speak", "--stripe-key", "sk_test_1"}).exit_code, 2);
  const std::string help = config::help_text("test", "A test.", kCommands, kCommands.data());
  EXPECT_NE(help.find("TALLY_STRIPE_KEY or STRIPE_SECRET_KEY"), std::string::npos) << help;
}

}  // namespace
}  // namespace tally::runtime::stripe
