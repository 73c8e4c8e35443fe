// Who asks, in which version, and whether the body is a form: judged before anything else.
#pragma once

#include "runtime/http/http.h"
#include "tests/support/sandbox/reply.h"

namespace tally::sandbox {

// What follows "Bearer "; "" without it.
[[nodiscard]] std::string_view bearer_of(const runtime::http::Request& request);
// Bearer, or Basic with the key as user: sk_test_* and rk_test_* are let in, those that go on with
// `forbidden` get 403, all others 401.
[[nodiscard]] Refused check_key(const runtime::http::Request& request);
// A Stripe-Version that is none: 400.
[[nodiscard]] Refused check_version(const runtime::http::Request& request);
// A POST with a body that says it is no form, or to /v2 that it is no JSON: 400.
[[nodiscard]] Refused check_body_type(const runtime::http::Request& request);

}  // namespace tally::sandbox
