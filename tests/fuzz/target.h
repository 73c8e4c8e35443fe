// A target of the fuzzer: one function that takes any bytes and CHECKs what must hold of them.
// main.cc calls it with what libFuzzer invents, or with the files of the corpus. The bytes live
// until it returns; it keeps nothing from one call to the next, so that every find replays.
#pragma once

#include <string_view>

namespace tally::fuzz {

void one_input(std::string_view input);

}  // namespace tally::fuzz
