// Reads requests with Beast's parser and judges them: everything that two readers of the same bytes
// could understand differently is refused. What a header is, and why it is refused, does not
// depend on the pieces that it came in. For the sources of this folder only.
#pragma once

#include "runtime/http/http.h"
#include "runtime/http/receiving_internal.h"
#include "runtime/http/server.h"

#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tally::runtime::http {

inline constexpr std::string_view kServerFailed = "the server failed; its log says why";

// One request. Feed it what was read; it fills a Request.
class RequestParser final : private boost::beast::http::basic_parser<true> {
 public:
  enum class State { kNeedsMore, kHeaderRead, kWhole, kRefused };

  // `request` is cleared, keeps its memory, and outlives the parser, as the others do. What the
  // body may take is taken from `charge`; to give it back is the owner's.
  RequestParser(const ServerOptions& options, Request& request, BodyCharge& charge);

  // Takes from the front of `bytes` what it understands and removes it. kHeaderRead comes once, if
  // a body follows; call again. Not after kWhole or kRefused.
  State read(std::string_view& bytes);

  // After kRefused: what to answer. That of ServerOptions::admit goes before status and sentence.
  [[nodiscard]] std::optional<Response> take_answer() { return std::exchange(answer_, {}); }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const std::string& sentence() const { return sentence_; }
  // After kHeaderRead or kWhole.
  [[nodiscard]] bool may_stay() const;  // HTTP/1.1 without Connection: close
  [[nodiscard]] bool expects_continue() const { return expects_continue_; }

 private:
  using Field = boost::beast::http::field;
  using Verb = boost::beast::http::verb;
  using Text = boost::beast::string_view;
  using Code = boost::beast::error_code;

  State refuse(int status, std::string sentence);
  State read_header(std::string_view& bytes);
  State find_header(std::string_view bytes);
  State refuse_header_size(std::string_view header);
  State judge_header();
  State judge_target();
  State judge_framing();
  State judge_admission();
  State refuse_for_room(BodyCharge::Taken taken);
  State explain(const Code& code);
  [[nodiscard]] bool authorised() const;

  void on_request_impl(Verb, Text method, Text target, int version, Code& code) override;
  void on_field_impl(Field field, Text name, Text value, Code& code) override;
  void on_header_impl(Code& code) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>& bytes, Code& code) override;
  std::size_t on_body_impl(Text text, Code& code) override;
  void on_chunk_header_impl(std::uint64_t size, Text extensions, Code& code) override;
  std::size_t on_chunk_body_impl(std::uint64_t left, Text text, Code& code) override;
  void on_finish_impl(Code& code) override;
  // Of answers only.
  void on_response_impl(int, Text, int, Code&) override {}

  const ServerOptions& options_;
  Request& request_;
  BodyCharge& charge_;
  // Of the header that is not whole yet: what was looked at, where its last line begins.
  std::size_t searched_ = 0;
  std::size_t line_ = 0;
  std::size_t header_bytes_ = 0;  // once it is whole
  int version_ = 0;
  int hosts_ = 0;
  int authorizations_ = 0;
  int content_types_ = 0;
  int lengths_ = 0;
  int encodings_ = 0;
  bool plain_length_ = true;
  bool known_encoding_ = false;
  bool expects_continue_ = false;
  bool unknown_expectation_ = false;
  bool header_read_ = false;
  BodyCharge::Taken taken_ = BodyCharge::Taken::kYes;  // for the last chunk
  int status_ = 0;
  std::string sentence_;
  std::optional<Response> answer_;
};

}  // namespace tally::runtime::http
