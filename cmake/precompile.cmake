# The headers of others that most sources include, read once per build and not once per source. Only under the presets
# with sanitizers: in the others a source stands on what it includes itself, so one that forgets a header does not
# compile there.

# What was precompiled holds the sizes of the headers, not their times: so ccache, with the sloppiness that the preset
# gives it, finds it again.
# A source with -pthread (RE2 asks for it) takes no headers precompiled without.
target_compile_options(tally_options INTERFACE -pthread "SHELL:-Xclang -fno-pch-timestamp")

# tally_precompiled(NAME LINKS libraries HEADERS <header>…), in the folder whose compile options it shall have.
function(tally_precompiled name)
  cmake_parse_arguments(arg "" "" "LINKS;HEADERS" ${ARGN})
  set(empty ${PROJECT_BINARY_DIR}/${name}.cc)
  file(CONFIGURE OUTPUT ${empty} CONTENT "")
  add_library(${name} OBJECT ${empty})
  target_link_libraries(${name} PRIVATE tally_options ${arg_LINKS})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()

# tally_precompile(FOLDER NAME): the targets of the folder and of those in it that are compiled as NAME is take its headers.
function(tally_precompile folder name)
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(below IN LISTS folders)
    tally_precompile(${below} ${name})
  endforeach()
  get_property(options TARGET ${name} PROPERTY COMPILE_OPTIONS)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_property(libraries TARGET ${target} PROPERTY LINK_LIBRARIES)
    get_property(own_options TARGET ${target} PROPERTY COMPILE_OPTIONS)
    if(NOT target STREQUAL name AND tally_options IN_LIST libraries AND "${own_options}" STREQUAL "${options}")
      target_precompile_headers(${target} REUSE_FROM ${name})
    endif()
  endforeach()
endfunction()

# Each list is the standard's headers, then the libraries'.
set(tally_product_headers
  <algorithm> <array> <atomic> <charconv> <chrono> <condition_variable> <cstring> <deque> <filesystem> <fstream>
  <functional> <map> <memory> <mutex> <optional> <random> <set> <span> <sstream> <stdexcept> <string> <string_view>
  <thread> <tuple> <unordered_map> <utility> <vector>
  <boost/outcome/basic_result.hpp> <boost/outcome/policy/terminate.hpp> <boost/unordered/unordered_flat_map.hpp>
  <boost/unordered/unordered_flat_set.hpp> <fmt/format.h> <nlohmann/json.hpp>)
set(tally_test_headers ${tally_product_headers} <future> <gmock/gmock.h> <gtest/gtest.h>)
