// The HTTP daemon: the server, the intake and the sink put together, and how they end.
#pragma once

#include "core/result.h"
#include "producer/serve/intake.h"
#include "producer/serve/open_sink.h"
#include "runtime/http/server.h"
#include "runtime/lifecycle/lifecycle.h"

#include <chrono>
#include <string>

namespace tally::producer::serve {

struct DaemonOptions {
  runtime::http::ServerOptions http = {};
  IntakeOptions intake = {};
  SinkOptions sink = {};
  std::string token = {};      // "": none
  std::string keys_file = {};  // "": none
  std::string port_file = {};
  std::chrono::milliseconds drain_timeout{25'000};
};

// Serves until `stop`, then drains: nothing new is accepted, what was begun is answered, the spool
// is closed. SIGHUP reads the keys and the certificate anew. An error: it could not start, kInvalid
// where a setting or the keys file is to blame. Throws as http::Server does.
[[nodiscard]] core::Result<void> run_daemon(DaemonOptions options,
                                            const runtime::lifecycle::StopSignal& stop);

}  // namespace tally::producer::serve
