// One request to /v1, parsed once; the endpoints read it. Inside the sandbox only.
#pragma once

#include "tests/support/sandbox/sandbox.h"

namespace tally::sandbox {

struct Sandbox::Call {
  std::string method;
  std::string path;
  Form form;  // of the body for POST, of the query for GET
  std::string idempotency_key;
  std::chrono::milliseconds delay{0};  // how long this call stays in flight

  [[nodiscard]] bool is(std::string_view wanted_method, std::string_view wanted_path) const {
    return method == wanted_method && path == wanted_path;
  }
};

// limit, starting_after and ending_before.
[[nodiscard]] Refused read_page(const Form& form, PageRequest& out);

}  // namespace tally::sandbox
