// How one request is answered: once, from any thread.
#pragma once

#include "runtime/http/http.h"
#include "runtime/http/responder.h"

#include <functional>
#include <utility>
#include <variant>

namespace tally::producer::serve {

// Move-only, as the server's Responder is, which it holds; or a function of who has no server. The
// function must be quick and throw nothing.
class Reply {
 public:
  using Function = std::function<void(runtime::http::Response)>;
  Reply() = default;
  explicit Reply(runtime::http::Responder responder) : to_(std::move(responder)) {}
  explicit Reply(Function function) : to_(std::move(function)) {}

  // Takes no memory where a server's Responder is answered.
  void send(runtime::http::Response response) && noexcept {
    if (auto* responder = std::get_if<runtime::http::Responder>(&to_)) {
      std::move(*responder).send(std::move(response));
    } else {
      std::get<Function>(to_)(std::move(response));
    }
  }

 private:
  std::variant<runtime::http::Responder, Function> to_;
};

}  // namespace tally::producer::serve
