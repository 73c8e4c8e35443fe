// SIGHUP asks for files to be read anew. One per process; without it SIGHUP ends the process.
#pragma once

namespace tally::runtime::lifecycle {

class ReloadSignal {
 public:
  ReloadSignal();   // installs the handler
  ~ReloadSignal();  // and takes it away
  ReloadSignal(const ReloadSignal&) = delete;
  ReloadSignal& operator=(const ReloadSignal&) = delete;
  // Whether a signal came since the last call; of several it tells once. One thread.
  [[nodiscard]] bool take();
};

}  // namespace tally::runtime::lifecycle
