#include "tests/support/poster/books.h"

#include "core/check.h"

namespace tally::drill {

void Books::all(const Numbers& events, char what) {
  for (const std::uint64_t event : events) told_.set(event, what);
}

void Books::sent(const Numbers& events) {
  all(events, 'a');
  const std::scoped_lock lock(mutex_);
  offered_ += events.size();
}

void Books::ended(const Numbers& events, const std::string& life,
                  const std::optional<Answer>& answer) {
  const std::scoped_lock lock(mutex_);
  Life& its = lives_[life];
  if (!answer) {
    its.cut += events.size();
    ++its.cut_requests;
    return;
  }
  ++its.answers[std::to_string(answer->status)];
  if (answer->status == 202) {
    its.kept += events.size();
    return all(events, 'k');
  }
  const auto said = nlohmann::json::parse(answer->body);
  const std::string code = said.at("code");
  if (code == "not_all_kept") return read_not_all_kept(events, said, its);
  its.refused[code] += events.size();
  all(events, 'd');
}

void Books::read_not_all_kept(const Numbers& events, const nlohmann::json& said, Life& life) {
  const auto& refused = said.at("not_kept");
  const auto& unknown = said.at("unknown");
  std::string what(events.size(), 'k');
  for (const std::size_t place : refused) what.at(place) = 'd';
  for (const std::size_t place : unknown) what.at(place) = 'l';
  for (std::size_t place = 0; place < events.size(); ++place) {
    told_.set(events[place], what[place]);
  }
  const std::uint64_t kept = said.at("kept");
  TALLY_CHECK(kept + refused.size() + unknown.size() == events.size(), "{}", said.dump());
  life.kept += kept;
  life.unknown += unknown.size();
  life.refused["not_all_kept"] += refused.size();
}

Numbers Books::not_kept() const {
  Numbers found;
  const std::size_t end = told_.first_unrecorded();
  for (std::size_t event = 0; event < end; ++event) {
    if (told_.at(event) != 0 && told_.at(event) != 'k') found.push_back(event);
  }
  return found;
}

nlohmann::json Books::account() const {
  const std::scoped_lock lock(mutex_);
  nlohmann::json lives = nlohmann::json::object();
  for (const auto& [name, life] : lives_) {
    lives[name] = {
        {"kept", life.kept},       {"unknown", life.unknown},           {"cut", life.cut},
        {"refused", life.refused}, {"cut_requests", life.cut_requests}, {"answers", life.answers}};
  }
  return {{"offered", offered_}, {"lives", std::move(lives)}};
}

}  // namespace tally::drill
