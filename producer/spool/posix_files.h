// The spool's folder on a real disk: files 0600, the folder 0700.
#pragma once

#include "producer/spool/files.h"

#include <filesystem>

namespace tally::producer::spool {

// Makes the folder when it is not there (its parent must be). An error says what to do.
[[nodiscard]] core::Result<std::unique_ptr<Folder>> open_folder(const std::filesystem::path& path);

}  // namespace tally::producer::spool
