// How far the broker has acked, on disk: two slots written in turn, so that a torn write leaves the
// one before, and so that it can still be stored when the disk is full. What it says may be old:
// then events are sent again, and the aggregator counts them once.
//
// One thread at a time.
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/format.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace tally::producer::spool {

class PositionFile {
 public:
  static constexpr std::string_view kName = "position";

  // nullopt: there is none, or neither slot holds. Throws FileFailure. kInvalid: the spool is of
  // another version of the format.
  [[nodiscard]] static core::Result<std::optional<PositionSlot>> load(Folder& folder);
  // Goes on from what load() gave, or begins anew. Throws FileFailure.
  PositionFile(Folder& folder, const PositionSlot& last);
  // Stands after a power cut once this returns, in a new file when somebody removed the old one.
  // Throws FileFailure: then the stored one may be the old or the new one.
  void store(const Position& position);

 private:
  void begin(const PositionSlot& first);

  Folder& folder_;
  PositionSlot last_;
  std::unique_ptr<File> file_;
};

}  // namespace tally::producer::spool
