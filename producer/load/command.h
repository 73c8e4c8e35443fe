// `tally-producer load`: its settings, checked against each other, and what it does.
#pragma once

#include "runtime/config/settings.h"

namespace tally::producer::load {

[[nodiscard]] const runtime::config::Command& load_command();

// The exit code, 0 only if every event was acked; what is wrong is said in one sentence on stderr.
[[nodiscard]] int load(const runtime::config::Settings& settings);

}  // namespace tally::producer::load
