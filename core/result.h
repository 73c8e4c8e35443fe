// Expected failure as a value. Three tiers, never mixed: a bug is a TALLY_CHECK, an expected
// failure is a Result, a broken environment (database gone, broker gone) is an exception caught in
// a component's loop.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>

#include <string>
#include <utility>

namespace tally::core {

// What the caller can do about an error; vendors' many codes are folded into these at the adapter.
enum class ErrorKind {
  kInvalid,      // the input is wrong: sending it again changes nothing
  kNotFound,     // what was named does not exist
  kConflict,     // it contradicts what is stored
  kUnavailable,  // the other side is away: try again later
};

struct Error {
  ErrorKind kind = ErrorKind::kInvalid;
  std::string
      message;  // one sentence for a person: what is wrong, where, the limit, what to do next
};

// Reading the value of a failed Result (or the error of a good one) terminates the process.
template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

inline Error invalid(std::string message) { return {ErrorKind::kInvalid, std::move(message)}; }

}  // namespace tally::core
