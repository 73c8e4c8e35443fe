#include "producer/publish/recipe.h"

#include "core/usage_event.h"
#include "producer/publish/csv.h"

#include <utility>

namespace tally::producer::publish {

core::Result<Made> NdjsonRecipe::make(const Record& record, Message& out) {
  if (record.text.empty()) return Made::kBlank;
  const std::string_view text = record.offset == 0 ? without_mark(record.text) : record.text;
  auto event = core::parse_structured(text);
  if (!event) return event.error();
  id_ = std::move(event.value().id);
  out = {id_, text};
  return Made::kMessage;
}

}  // namespace tally::producer::publish
