#include "runtime/http/parser_internal.h"

#include "runtime/log/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <exception>

namespace tally::runtime::http {
namespace {

using Error = boost::beast::http::error;

// A body is declared before it is sent: this much is taken on credit.
constexpr std::uint64_t kReservedBytes = 256 * 1024;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// A line that begins with white space continues the one before it (RFC 7230's obs-fold); Beast
// would join them, others do not.
bool has_folded_line(std::string_view header) {
  for (auto end = header.find('\n'); end + 1 < header.size(); end = header.find('\n', end + 1)) {
    if (header[end + 1] == ' ' || header[end + 1] == '\t') return true;
  }
  return false;
}

}  // namespace

RequestParser::RequestParser(const ServerOptions& options, Request& request, BodyCharge& charge)
    : options_(options), request_(request), charge_(charge) {
  request_.method.clear();
  request_.target.clear();
  request_.headers.clear();
  request_.body.clear();
  request_.grant.reset();
  header_limit(static_cast<std::uint32_t>(options.max_header_bytes));
  body_limit(options.max_body_bytes);
}

RequestParser::State RequestParser::read(std::string_view& bytes) {
  while (true) {
    Code code;
    const std::string_view before = bytes;
    const bool was_header = !header_read_;
    bytes.remove_prefix(put({bytes.data(), bytes.size()}, code));
    if (code == Error::need_more) {
      // Chunk extensions and trailers are bounded as headers are.
      if (was_header || bytes.size() <= options_.max_header_bytes) return State::kNeedsMore;
      return refuse(400, "the chunks hold too much that is no data");
    }
    if (code) return explain(code, before);
    if (was_header && header_read_) {
      const State judged = judge_header(before.substr(0, before.size() - bytes.size()));
      if (judged == State::kRefused || !is_done()) return judged;
    }
    if (is_done()) return State::kWhole;
    if (bytes.empty()) return State::kNeedsMore;
  }
}

bool RequestParser::may_stay() const { return version_ == 11 && keep_alive(); }

RequestParser::State RequestParser::refuse(int status, std::string sentence) {
  status_ = status;
  sentence_ = std::move(sentence);
  return State::kRefused;
}

RequestParser::State RequestParser::judge_header(std::string_view header) {
  if (has_folded_line(header)) return refuse(400, "a header is folded over several lines");
  if (version_ == 11 && hosts_ != 1) return refuse(400, "give exactly one Host header");
  if (hosts_ > 1) return refuse(400, "there are several Host headers");
  if (const State framing = judge_framing(); framing == State::kRefused) return framing;
  if (request_.target.size() > options_.max_target_bytes) {
    return refuse(414, fmt::format("the target is over {} bytes", options_.max_target_bytes));
  }
  if (!authorised()) return refuse(401, "give the token as Authorization: Bearer TOKEN");
  if (unknown_expectation_) return refuse(417, "only Expect: 100-continue is known here");
  if (const State admitted = judge_admission(); admitted == State::kRefused) return admitted;
  const auto declared = content_length();
  return declared && !charge_.take(*declared) ? refuse_for_room() : State::kHeaderRead;
}

RequestParser::State RequestParser::judge_admission() {
  if (!options_.admit) return State::kHeaderRead;
  try {
    answer_ = options_.admit(request_);
  } catch (const std::exception& failure) {
    log::error("http handler failed", {{"problem", failure.what()}});
    return refuse(500, std::string(kServerFailed));
  }
  return answer_ ? State::kRefused : State::kHeaderRead;
}

RequestParser::State RequestParser::refuse_for_room() {
  return refuse(503, fmt::format("bodies of {} bytes are arriving at once, which is the bound; try "
                                 "again later",
                                 options_.max_bytes_receiving));
}

// Where the body ends must be told in one way, and the same to everybody on the request's path.
RequestParser::State RequestParser::judge_framing() {
  if (encodings_ == 0) return State::kHeaderRead;
  if (lengths_ > 0) return refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  if (version_ == 10) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
  if (encodings_ > 1) return refuse(400, "there are several Transfer-Encoding headers");
  if (!known_encoding_) return refuse(501, "only Transfer-Encoding: chunked is known here");
  return State::kHeaderRead;
}

RequestParser::State RequestParser::explain(const Code& code, std::string_view bytes) {
  if (code == Error::body_limit) {
    return refuse(413, fmt::format("the body is over {} bytes", options_.max_body_bytes));
  }
  if (code == Error::buffer_overflow) return refuse_for_room();  // of on_chunk_body_impl()
  if (code == Error::header_limit) {
    // Until the target is whole, the request line is all there is.
    const std::size_t target = request_.target.empty() ? bytes.size() : request_.target.size();
    if (target > options_.max_target_bytes) {
      return refuse(414, fmt::format("the target is over {} bytes", options_.max_target_bytes));
    }
    return refuse(431, fmt::format("the headers are over {} bytes", options_.max_header_bytes));
  }
  if (header_read_) return refuse(400, "the body's chunks are malformed");
  if (encodings_ > 0 && lengths_ > 0) {
    return refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  }
  return refuse(400, "this is not an HTTP/1.1 request");
}

bool RequestParser::authorised() const {
  const std::string& token = options_.bearer_token;
  if (token.empty()) return true;
  static constexpr std::string_view kScheme = "Bearer ";
  const std::string_view given = request_.headers.get("Authorization");
  return given.size() > kScheme.size() &&
         equal_without_case(given.substr(0, kScheme.size()), kScheme) &&
         equal_in_constant_time(given.substr(kScheme.size()), token);
}

void RequestParser::on_request_impl(Verb, Text method, Text target, int version, Code& code) {
  request_.method.assign(method.data(), method.size());
  request_.target.assign(target.data(), target.size());
  version_ = version;
  code = {};
}

void RequestParser::on_field_impl(Field field, Text name, Text value, Code& code) {
  code = {};
  if (header_read_) return;  // a trailer: nobody asked for it
  const std::string_view text = view(value);
  request_.headers.add(view(name), text);
  if (field == Field::host) ++hosts_;
  if (field == Field::content_length) ++lengths_;
  if (field == Field::transfer_encoding) {
    ++encodings_;
    known_encoding_ = equal_without_case(text, "chunked");
  }
  if (field == Field::expect && version_ == 11) {
    expects_continue_ = equal_without_case(text, "100-continue");
    unknown_expectation_ = unknown_expectation_ || !expects_continue_;
  }
}

void RequestParser::on_header_impl(Code& code) {
  header_read_ = true;
  code = {};
}

void RequestParser::on_body_init_impl(const boost::optional<std::uint64_t>& bytes, Code& code) {
  if (bytes) request_.body.reserve(std::min(*bytes, kReservedBytes));
  code = {};
}

std::size_t RequestParser::on_body_impl(Text text, Code& code) {
  request_.body.append(text.data(), text.size());
  code = {};
  return text.size();
}

void RequestParser::on_chunk_header_impl(std::uint64_t, Text, Code& code) { code = {}; }

std::size_t RequestParser::on_chunk_body_impl(std::uint64_t, Text text, Code& code) {
  if (!charge_.take(text.size())) {
    code = Error::buffer_overflow;
    return 0;
  }
  return on_body_impl(text, code);
}

void RequestParser::on_finish_impl(Code& code) { code = {}; }

}  // namespace tally::runtime::http
