// Where Stripe puts the fields of subscriptions and invoices: before its version 2025-03-31 and
// since; before 2026-03-25 there are no decimal quantities, only whole ones. The sandbox knows the
// new places; what is shown is made of them. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace tally::sandbox {

// Of an invoice's lines no more are in it; the others are read from /lines.
constexpr std::size_t kShownLines = 10;

// What a client sees of a document, a list of them, or anything that holds some: without the
// sandbox's notes, in the places of its version; what is in an event has those of the event's.
[[nodiscard]] nlohmann::json shown(nlohmann::json document, std::string_view api_version);

}  // namespace tally::sandbox
