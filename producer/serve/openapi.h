// schemas/http/ingest.json, as it was when this was built.
#pragma once

#include <string_view>

namespace tally::producer::serve {

[[nodiscard]] std::string_view openapi();

}  // namespace tally::producer::serve
