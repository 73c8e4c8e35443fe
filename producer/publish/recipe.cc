#include "producer/publish/recipe.h"

#include "core/usage_event.h"

#include <utility>

namespace tally::producer::publish {

core::Result<Made> NdjsonRecipe::make(const Record& record, Message& out) {
  if (record.text.empty()) return Made::kBlank;
  auto event = core::parse_structured(record.text);
  if (!event) return event.error();
  id_ = std::move(event.value().id);
  out = {id_, record.text};
  return Made::kMessage;
}

}  // namespace tally::producer::publish
