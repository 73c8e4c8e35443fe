// An intake over a sink that the test holds in its hand; every answer is held against the API's
// document.
#pragma once

#include "producer/serve/intake.h"
#include "tests/unit/producer/fake_sink.h"
#include "tests/unit/serve/api_document.h"
#include "tests/unit/serve/requests.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::serve {

class IntakeTest : public testing::Test {
 protected:
  // A request that is on its way; the answer may be waited for.
  struct Asked {
    Request request;
    std::shared_ptr<std::promise<Response>> promise = std::make_shared<std::promise<Response>>();
    std::future<Response> answer = promise->get_future();
  };

  void open(IntakeOptions options = {}, std::string token = "") {
    options.now = [] { return kNow; };
    intake_.reset();
    keys_ = std::make_unique<Keys>(std::move(token));
    intake_ = std::make_unique<Intake>(std::move(options), *keys_, probe_);
    intake_->attach(std::make_unique<FakeSink>(script_, intake_->on_outcome()));
  }
  void SetUp() override { open(); }

  Asked start(Request request) {
    Asked asked{.request = std::move(request)};
    if (auto refused = intake_->admit(asked.request)) {
      asked.promise->set_value(*std::move(refused));
      return asked;
    }
    intake_->handle(asked.request, Reply([promise = asked.promise](Response response) {
                      promise->set_value(std::move(response));
                    }));
    return asked;
  }
  static Response wait(Asked& asked) {
    Response response = asked.answer.get();
    EXPECT_EQ(undocumented(asked.request, response), "") << response.body;
    return response;
  }
  Response ask(Request request) {
    Asked asked = start(std::move(request));
    return wait(asked);
  }
  static nlohmann::json problem(const Response& response) {
    return nlohmann::json::parse(response.body);
  }
  // What the sink was offered and took.
  std::vector<std::string> sent() {
    std::vector<std::string> values;
    for (const Taken& one : script_.taken()) values.push_back(one.value);
    return values;
  }
  // Keys of the file from now on; the keys themselves.
  std::vector<std::string> make_keys(const std::vector<std::string>& tenants) {
    std::vector<std::string> made;
    std::string lines;
    for (const std::string& tenant : tenants) {
      const NewKey key = new_key(tenant).value();
      made.push_back(key.key);
      lines += key.line + "\n";
    }
    write_keys(lines);
    return made;
  }
  void write_keys(const std::string& lines) {
    const std::string path = testing::TempDir() + "keys-" + std::to_string(::getpid());
    std::ofstream(path) << lines;
    const auto read = keys_->read_file(path);
    EXPECT_TRUE(read) << read.error().message;
    std::filesystem::remove(path);
  }

  runtime::metrics::Registry registry_;
  Probe probe_{registry_};
  Script script_;
  std::unique_ptr<Keys> keys_;
  std::unique_ptr<Intake> intake_;
};

}  // namespace tally::producer::serve
