// `tally-producer tail`: its settings, and what it does.
#pragma once

#include "runtime/config/settings.h"

namespace tally::producer::publish {

[[nodiscard]] const runtime::config::Command& tail_command();

// The exit code: 0 after SIGTERM (--once: at the end of the file) when every event was delivered.
[[nodiscard]] int tail(const runtime::config::Settings& settings);

}  // namespace tally::producer::publish
