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

// "0\r\n\r\n": no body of chunks is shorter. Beast asserts so of one without data, when it looks at
// its end for the second time.
constexpr std::size_t kFewestChunkedBytes = 5;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

constexpr std::string_view kNoRequest = "this is not an HTTP/1.1 request";

// A request begins with its method: a letter or a sign, nothing that cannot be seen.
bool may_begin_request(char c) { return c > ' ' && c < 0x7f; }

}  // namespace

RequestParser::RequestParser(const ServerOptions& options, Request& request, BodyCharge& charge)
    : options_(options), request_(request), charge_(charge) {
  request_.method.clear();
  request_.target.clear();
  request_.headers.clear();
  request_.body.clear();
  request_.grant.reset();
  request_.account.reset();
  header_limit(static_cast<std::uint32_t>(options.max_header_bytes));
  body_limit(options.max_body_bytes);
}

RequestParser::State RequestParser::read(std::string_view& bytes) {
  if (!header_read_) {
    const State header = read_header(bytes);
    if (header != State::kHeaderRead || !is_done()) return header;
    return State::kWhole;
  }
  if (encodings_ > 0 && request_.body.empty() && bytes.size() < kFewestChunkedBytes) {
    return State::kNeedsMore;
  }
  while (true) {
    Code code;
    // Chunk extensions and trailers are bounded as headers are. No more than that is looked at, so
    // that it does not matter in which pieces they come.
    const std::string_view within = bytes.substr(0, options_.max_header_bytes);
    bytes.remove_prefix(put({within.data(), within.size()}, code));
    if (code == Error::need_more) {
      if (within.size() < options_.max_header_bytes) return State::kNeedsMore;
      return refuse(400, "the chunks hold too much that is no data");
    }
    if (code) return explain(code);
    if (is_done()) return State::kWhole;
    if (bytes.empty()) return State::kNeedsMore;
  }
}

// Beast would take each field as it comes, and so see neither a bound of all together nor a line
// that continues one before: it gets the header once, whole.
RequestParser::State RequestParser::read_header(std::string_view& bytes) {
  if (const State found = find_header(bytes); found != State::kHeaderRead) return found;
  Code code;
  const std::size_t taken = put({bytes.data(), header_bytes_}, code);
  if (code) return explain(code);
  if (!header_read_ || taken != header_bytes_) return refuse(400, std::string(kNoRequest));
  bytes.remove_prefix(taken);
  return judge_header();
}

// Its lines end with CR and LF, all of them, and none continues the one before (RFC 9112, 2.2 and
// 5.2: what others may read otherwise).
RequestParser::State RequestParser::find_header(std::string_view bytes) {
  const std::string_view within = bytes.substr(0, options_.max_header_bytes);
  if (!may_begin_request(within.front())) return refuse(400, std::string(kNoRequest));
  for (auto end = within.find('\n', searched_); end != std::string_view::npos;
       end = within.find('\n', searched_)) {
    const std::string_view line = within.substr(line_, end - line_);
    if (line.empty() || line.back() != '\r') return refuse(400, std::string(kNoRequest));
    if (line.front() == ' ' || line.front() == '\t') {
      return refuse(400, "a header is folded over several lines");
    }
    searched_ = line_ = end + 1;
    if (line.size() > 1) continue;
    header_bytes_ = end + 1;
    return State::kHeaderRead;
  }
  searched_ = within.size();
  return within.size() < options_.max_header_bytes ? State::kNeedsMore : refuse_header_size(within);
}

RequestParser::State RequestParser::refuse_header_size(std::string_view header) {
  std::string_view target = header.substr(0, header.find('\r'));
  target.remove_prefix(std::min(target.size(), target.find(' ')));
  if (target.size() > options_.max_target_bytes) {
    return refuse(414, fmt::format("the target is over {} bytes", options_.max_target_bytes));
  }
  return refuse(431, fmt::format("the headers are over {} bytes", options_.max_header_bytes));
}

bool RequestParser::may_stay() const { return version_ == 11 && keep_alive(); }

RequestParser::State RequestParser::refuse(int status, std::string sentence) {
  status_ = status;
  sentence_ = std::move(sentence);
  return State::kRefused;
}

RequestParser::State RequestParser::judge_header() {
  if (version_ == 11 && hosts_ != 1) return refuse(400, "give exactly one Host header");
  if (hosts_ > 1) return refuse(400, "there are several Host headers");
  if (const State framing = judge_framing(); framing == State::kRefused) return framing;
  if (request_.target.size() > options_.max_target_bytes) {
    return refuse(414, fmt::format("the target is over {} bytes", options_.max_target_bytes));
  }
  if (const State target = judge_target(); target == State::kRefused) return target;
  // Of two keys, or two types, one would be judged and the other one meant.
  if (authorizations_ > 1) return refuse(400, "there are several Authorization headers");
  if (content_types_ > 1) return refuse(400, "there are several Content-Type headers");
  if (!authorised()) return refuse(401, "give the token as Authorization: Bearer TOKEN");
  if (unknown_expectation_) return refuse(417, "only Expect: 100-continue is known here");
  if (const State admitted = judge_admission(); admitted == State::kRefused) return admitted;
  charge_.open(request_.account);
  const auto declared = content_length();
  const auto taken = declared ? charge_.take(*declared) : BodyCharge::Taken::kYes;
  return taken == BodyCharge::Taken::kYes ? State::kHeaderRead : refuse_for_room(taken);
}

// RFC 9112, 3.2: a path; or, as proxies get it, a URI, of which the path is left. Whom it names is
// no more looked at than Host is.
RequestParser::State RequestParser::judge_target() {
  std::string& target = request_.target;
  if (target.starts_with('/') || (target == "*" && request_.method == "OPTIONS")) {
    return State::kHeaderRead;
  }
  const std::string_view text = target;
  const std::size_t colon = text.find("://");
  const std::string_view scheme = text.substr(0, colon);
  const bool is_uri = colon != std::string_view::npos &&
                      (equal_without_case(scheme, "http") || equal_without_case(scheme, "https"));
  const std::size_t host = scheme.size() + 3;
  if (!is_uri || text.find_first_of("/?#", host) == host || text.size() == host) {
    return refuse(400, "the target is neither a path nor an http URI");
  }
  target.erase(0, text.find_first_of("/?#", host));
  if (!target.starts_with('/')) target.insert(0, "/");
  return State::kHeaderRead;
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

RequestParser::State RequestParser::refuse_for_room(BodyCharge::Taken taken) {
  if (taken == BodyCharge::Taken::kAccountFull) {
    return refuse(429, fmt::format("bodies of {} bytes from the same sender are arriving at once, "
                                   "which is its bound: wait for the answers of those before",
                                   options_.max_bytes_receiving_of_account()));
  }
  return refuse(503, fmt::format("bodies of {} bytes are arriving at once, which is the bound; try "
                                 "again later",
                                 options_.max_bytes_receiving));
}

// Where the body ends must be told in one way, and the same to everybody on the request's path.
RequestParser::State RequestParser::judge_framing() {
  if (lengths_ > 1) return refuse(400, "there are several Content-Length headers");
  if (!plain_length_) return refuse(400, "Content-Length is no number of digits alone");
  if (encodings_ == 0) return State::kHeaderRead;
  if (lengths_ > 0) return refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  if (version_ == 10) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
  if (encodings_ > 1) return refuse(400, "there are several Transfer-Encoding headers");
  if (!known_encoding_) return refuse(501, "only Transfer-Encoding: chunked is known here");
  return State::kHeaderRead;
}

RequestParser::State RequestParser::explain(const Code& code) {
  if (code == Error::body_limit) {
    return refuse(413, fmt::format("the body is over {} bytes", options_.max_body_bytes));
  }
  if (taken_ != BodyCharge::Taken::kYes) return refuse_for_room(taken_);
  if (header_read_) return refuse(400, "the body's chunks are malformed");
  if (encodings_ > 0 && lengths_ > 0) {
    return refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  }
  return refuse(400, std::string(kNoRequest));
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
  if (field == Field::authorization) ++authorizations_;
  if (field == Field::content_type) ++content_types_;
  if (field == Field::content_length) {
    ++lengths_;
    // Beast reads a list of equal numbers too.
    plain_length_ = text.find_first_not_of("0123456789") == std::string_view::npos;
  }
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
  taken_ = charge_.take(text.size());
  if (taken_ != BodyCharge::Taken::kYes) {
    code = Error::buffer_overflow;
    return 0;
  }
  return on_body_impl(text, code);
}

void RequestParser::on_finish_impl(Code& code) { code = {}; }

}  // namespace tally::runtime::http
