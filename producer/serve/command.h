// `tally-producer serve` and `tally-producer key`: their settings, checked against each other, and
// what they do.
#pragma once

#include "runtime/config/settings.h"

namespace tally::producer::serve {

[[nodiscard]] const runtime::config::Command& serve_command();
[[nodiscard]] const runtime::config::Command& key_command();

// The exit code; what is wrong is said in one sentence on stderr.
[[nodiscard]] int serve(const runtime::config::Settings& settings);
[[nodiscard]] int key(const runtime::config::Settings& settings);

}  // namespace tally::producer::serve
