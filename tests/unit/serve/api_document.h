// Holds an answer against schemas/http/ingest.json.
#pragma once

#include "runtime/http/http.h"

#include <string>

namespace tally::producer::serve {

// "": the answer is one that the document gives for this request; else what is not in it.
[[nodiscard]] std::string undocumented(const runtime::http::Request& request,
                                       const runtime::http::Response& response);

}  // namespace tally::producer::serve
