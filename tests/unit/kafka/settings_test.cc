// What people may tell librdkafka, what they may not, and that no secret is shown.
#include "runtime/kafka/settings.h"

#include "runtime/kafka/handles.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tally::runtime::kafka {
namespace {

std::string said(Role role, const ClientSettings& settings) {
  const auto wrong = objection(role, settings);
  return wrong ? wrong->sentence : "";
}

TEST(KafkaSettings, TakesWhatSecuresAndTunes) {
  EXPECT_EQ(said(Role::kProducer, {}), "");
  const ClientSettings scram = {{"security.protocol", "SASL_SSL"},
                                {"sasl.mechanism", "SCRAM-SHA-512"},
                                {"sasl.username", "tally"},
                                {"sasl.password", "hunter2"},
                                {"compression.type", "zstd"},
                                {"linger.ms", "50"},
                                {"log.level", "7"}};
  EXPECT_EQ(said(Role::kProducer, scram), "");
  EXPECT_EQ(said(Role::kConsumer, {{"security.protocol", "sasl_plaintext"},
                                   {"sasl.mechanisms", "PLAIN"},
                                   {"sasl.username", "tally"},
                                   {"sasl.password", "hunter2"},
                                   {"session.timeout.ms", "30000"}}),
            "");
  EXPECT_EQ(said(Role::kConsumer, {{"security.protocol", "sasl_plaintext"},
                                   {"sasl.mechanisms", "OAUTHBEARER"},
                                   {"enable.sasl.oauthbearer.unsecure.jwt", "true"}}),
            "");
}

TEST(KafkaSettings, WhatTallyStandsOnIsRefusedWithTheReason) {
  for (const auto& [role, names] :
       {std::pair{Role::kProducer, producer_reserved()}, {Role::kConsumer, consumer_reserved()}}) {
    EXPECT_GE(names.size(), 9U);
    for (const auto& [label, why] : names) {
      const std::string name = label.substr(0, label.find(' '));
      const std::string sentence = said(role, {{name, "7"}});
      EXPECT_NE(sentence.find(name + "=7"), std::string::npos) << sentence;
      EXPECT_NE(sentence.find(why), std::string::npos) << sentence;
    }
  }
  EXPECT_NE(said(Role::kProducer, {{"delivery.timeout.ms", "5"}}).find("delivery_timeout"),
            std::string::npos);
  EXPECT_EQ(said(Role::kProducer, {{"request.required.acks", "all"}}), "");
  EXPECT_EQ(said(Role::kProducer, {{"enable.idempotence", "True"}}), "");
  EXPECT_EQ(said(Role::kConsumer, {{"isolation.level", "read_committed"}}), "");
}

TEST(KafkaSettings, LibrdkafkasOwnWordsNameThePropertyAndTheTrouble) {
  EXPECT_NE(said(Role::kProducer, {{"no.such.setting", "x"}}).find("\"no.such.setting\""),
            std::string::npos);
  EXPECT_NE(said(Role::kProducer, {{"linger.ms", "soon"}}).find("linger.ms"), std::string::npos);
  // They do not go together: idempotence allows five.
  EXPECT_NE(said(Role::kProducer, {{"max.in.flight", "50"}}).find("max.in.flight"),
            std::string::npos);
  EXPECT_NE(said(Role::kConsumer, {{"security.protocol", "ssl"}, {"ssl.ca.location", "/nowhere"}})
                .find("ssl.ca.location"),
            std::string::npos);
}

TEST(KafkaSettings, NoSecretIsShown) {
  for (const char* name :
       {"sasl.password", "ssl.key.password", "ssl.keystore.password",
        "sasl.oauthbearer.client.secret", "ssl.key.pem", "sasl.oauthbearer.config"}) {
    EXPECT_TRUE(is_secret(name)) << name;
    EXPECT_EQ(shown(name, "hunter2").find("hunter2"), std::string::npos);
    EXPECT_EQ(said(Role::kProducer, {{name, "hunter2"}}).find("hunter2"), std::string::npos);
  }
  for (const char* name : {"sasl.username", "security.protocol", "ssl.ca.location"}) {
    EXPECT_FALSE(is_secret(name)) << name;
  }
  // A typing error in a secret's name.
  EXPECT_EQ(said(Role::kProducer, {{"sasl.pasword", "hunter2"}}).find("hunter2"),
            std::string::npos);
}

TEST(KafkaSettings, OneSettingOfTwoNamesIsOne) {
  const auto both = merged({{"linger.ms", "10"}}, {{"queue.buffering.max.ms", "50"}});
  EXPECT_EQ(both, (ClientSettings{{"linger.ms", "50"}}));
}

std::string longest_wait(const ClientSettings& settings) {
  const auto conf = make_conf(settings);
  if (!conf) return conf.error().message;
  std::array<char, 32> value{};
  std::size_t size = value.size();
  rd_kafka_conf_get(conf.value().get(), "reconnect.backoff.max.ms", value.data(), &size);
  return value.data();
}

TEST(KafkaSettings, ABrokerThatIsAwayIsTriedEachSecondUnlessToldHowOften) {
  EXPECT_EQ(longest_wait({}), "1000");
  EXPECT_EQ(longest_wait({{"reconnect.backoff.max.ms", "5000"}}), "5000");
  // The client asks for a bound that is not below it.
  EXPECT_EQ(longest_wait({{"reconnect.backoff.ms", "2000"}}), "10000");
  EXPECT_EQ(said(Role::kProducer, {{"reconnect.backoff.ms", "2000"}}), "");
}

}  // namespace
}  // namespace tally::runtime::kafka
