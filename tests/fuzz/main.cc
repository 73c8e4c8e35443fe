// Under the preset `fuzz` libFuzzer brings main() and invents inputs. Everywhere else this main()
// runs each file that it is given, or that lies in a folder that it is given, through the target.
#include "tests/fuzz/target.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tally::fuzz::one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}

#ifndef TALLY_LIBFUZZER
namespace {

std::vector<std::filesystem::path> files_of(int count, char** names) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < count; ++i) {
    if (!std::filesystem::is_directory(names[i])) {
      files.emplace_back(names[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(names[i])) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int count, char** names) {
  const auto files = files_of(count, names);
  for (const auto& file : files) {
    // Printed first: when the target aborts, the last line names the file.
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    std::ifstream in(file, std::ios::binary);
    // Of exactly the file's size, so that the sanitizer sees a byte read past its end.
    std::vector<char> bytes(std::filesystem::file_size(file));
    if (!in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
      std::fprintf(stderr, "%s: cannot be read\n", file.c_str());
      return 1;
    }
    tally::fuzz::one_input({bytes.data(), bytes.size()});
  }
  std::printf("%zu files held\n", files.size());
  return files.empty() ? 1 : 0;
}
#endif
