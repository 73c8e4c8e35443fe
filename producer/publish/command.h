// `tally-producer publish`: its settings, and what it does.
#pragma once

#include "runtime/config/settings.h"

namespace tally::producer::publish {

[[nodiscard]] const runtime::config::Command& publish_command();

// The exit code: 0 when every line was delivered; the account is on stdout, what is wrong on
// stderr.
[[nodiscard]] int publish(const runtime::config::Settings& settings);

}  // namespace tally::producer::publish
