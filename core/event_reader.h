// Reads structured CloudEvents where they stand, with nothing copied that needs no copy: the rules
// of core/usage_event.h, for whoever takes many events.
//
// Threads: one reader per thread. Lifetime: what read() gave points into the text, or, where a
// string held escapes, into the reader, and lives until the next call.
#pragma once

#include "core/json_cursor.h"
#include "core/limits.h"
#include "core/timestamp.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

// Levels of an event that stands by itself: the limit counts from data's own brace.
inline constexpr int kEventDepth = kMaxJsonDepth + 1;

struct EventView {
  std::string_view id;
  std::string_view source;
  std::string_view type;
  std::string_view subject;
  std::optional<Timestamp> time;
  std::string_view data;       // a JSON object's text
  std::string_view text;       // the whole event, from brace to brace
  std::string_view null_time;  // the word null within `text` that stands for an absent time
};

// Why an event is none.
struct EventFault {
  bool malformed = false;       // it could not be read as JSON
  std::string_view field = {};  // "id", "data", …; "" where it is about the whole event
  std::size_t limit = 0;        // bytes; 0: no limit was passed
  std::string message = {};     // as Error's
};

class EventReader {
 public:
  // The whole text is one event, white space around it aside. A repeated member, a wrong type and
  // what core::validate() refuses are faults; unknown scalar members are passed over.
  [[nodiscard]] std::optional<EventFault> read(std::string_view json, EventView& event);

  // The value that comes next in `cursor`'s text, which must be UTF-8 (see read()). The cursor goes
  // on behind it, whatever its fault, unless it has failed itself: then no more can be read.
  [[nodiscard]] std::optional<EventFault> read_next(JsonCursor& cursor, EventView& event);

 private:
  // The members that tally reads; all others are extensions.
  enum Member : std::size_t {
    kSpecVersion,
    kId,
    kSource,
    kType,
    kSubject,
    kTime,
    kContentType,
    kData,
    kDataBase64,
    kMembers
  };
  static const std::array<std::string_view, kMembers> kMemberNames;

  [[nodiscard]] static Member member_of(std::string_view name);
  void start();
  void fault(std::string_view field, std::string message, std::size_t limit = 0);
  [[nodiscard]] bool read_members(JsonCursor& cursor, EventView& event);
  [[nodiscard]] bool read_member(JsonCursor& cursor, Member member, EventView& event);
  [[nodiscard]] bool read_extension(JsonCursor& cursor, std::string_view name);
  void check_attribute(Member member, std::size_t max_bytes);
  void check(EventView& event);

  std::array<std::string_view, kMembers> texts_;
  std::array<bool, kMembers> given_{};
  std::array<bool, kMembers> is_text_{};  // given, and a string
  bool has_base64_ = false;
  std::optional<EventFault> fault_;                // the first
  std::array<std::string, kMembers + 1> escaped_;  // room, of each member and of a name
  std::vector<std::string_view> names_;            // room
};

}  // namespace tally::core
