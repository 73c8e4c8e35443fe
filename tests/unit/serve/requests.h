// Events, and the requests that bring them.
#pragma once

#include "core/timestamp.h"
#include "runtime/http/http.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::producer::serve {

using runtime::http::Request;
using runtime::http::Response;

// 2026-11-22T08:00:00Z
inline constexpr auto kNow = core::Timestamp::from_seconds(1'795'334'400);

inline std::string event(std::string_view id, std::string_view more = "") {
  return R"({"specversion":"1.0","id":")" + std::string(id) +
         R"(","source":"/s","type":"t","subject":"acme","time":"2026-11-22T07:00:00Z")" +
         std::string(more) + R"(,"data":{"n":0.10}})";
}

inline Request post(std::string_view type, std::string body) {
  Request request;
  request.method = "POST";
  request.target = "/v1/events";
  request.headers.set("Content-Type", type);
  request.body = std::move(body);
  return request;
}

inline Request post_one(std::string body) {
  return post("application/cloudevents+json", std::move(body));
}

inline Request post_batch(const std::vector<std::string>& events) {
  std::string body = "[";
  for (const std::string& one : events) {
    if (body.size() > 1) body += ',';
    body += one;
  }
  return post("application/cloudevents-batch+json", body + "]");
}

}  // namespace tally::producer::serve
