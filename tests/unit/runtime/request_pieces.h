// What a connection makes of its bytes, without a socket: requests read by RequestParser from bytes
// that come in pieces.
#pragma once

#include "runtime/http/parser_internal.h"

#include <cstring>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::runtime::http {

struct ReadRequest {
  int refused = 0;  // the status; the rest is then empty but for the sentence
  std::string sentence;
  std::string method;
  std::string target;
  std::string headers;  // each as "name: value\n"
  std::string body;
  bool may_stay = false;
  bool expects_continue = false;
  bool operator==(const ReadRequest&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const ReadRequest& read) {
  return out << read.refused << read.sentence << ' ' << read.method << ' ' << read.target << '\n'
             << read.headers << '[' << read.body << "] " << read.may_stay << read.expects_continue;
}

// All that were whole or refused; behind a refused one nothing is read. Each call of the parser
// gets bytes of exactly the size of what is there, so that the sanitizer sees one read beyond.
inline std::vector<ReadRequest> read_requests(const ServerOptions& options,
                                              std::span<const std::string_view> pieces) {
  using State = RequestParser::State;
  BytesReceiving receiving;
  BodyCharge charge(receiving, options);
  Request request;
  std::optional<RequestParser> parser;
  std::vector<ReadRequest> read;
  std::string waiting;
  for (const std::string_view piece : pieces) {
    waiting += piece;
    State state = State::kHeaderRead;
    while (!waiting.empty() && state != State::kNeedsMore) {
      if (!parser) parser.emplace(options, request, charge);
      const auto exact = std::make_unique_for_overwrite<char[]>(waiting.size());
      std::memcpy(exact.get(), waiting.data(), waiting.size());
      std::string_view bytes(exact.get(), waiting.size());
      state = parser->read(bytes);
      waiting.erase(0, waiting.size() - bytes.size());
      if (state == State::kRefused) {
        ReadRequest& refused = read.emplace_back();
        refused.refused = parser->status();
        refused.sentence = parser->sentence();
        return read;
      }
      if (state != State::kWhole) continue;
      std::string headers;
      for (const auto& [name, value] : request.headers) {
        headers.append(name).append(": ").append(value).append("\n");
      }
      read.push_back({.refused = 0,
                      .sentence = "",
                      .method = request.method,
                      .target = request.target,
                      .headers = std::move(headers),
                      .body = request.body,
                      .may_stay = parser->may_stay(),
                      .expects_continue = parser->expects_continue()});
      parser.reset();
      charge.give_back();
    }
  }
  return read;
}

}  // namespace tally::runtime::http
