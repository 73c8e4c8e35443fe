# How every target of tally is built: warnings are errors, include paths start at the repository root,
# and a library names exactly the layers that it stands on.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(tally_options INTERFACE)
target_include_directories(tally_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(tally_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wimplicit-fallthrough -fno-omit-frame-pointer)
# GCC 12 reports string concatenation at -O2/-O3 as overlapping copies (GCC bug 105651): not ours to mend.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(tally_options INTERFACE -Wno-restrict)
endif()
if(TALLY_SANITIZE)
  target_compile_options(tally_options INTERFACE -fsanitize=${TALLY_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(tally_options INTERFACE -fsanitize=${TALLY_SANITIZE})
  if(TALLY_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tally_options INTERFACE -Wno-tsan)
  endif()
endif()

# tally_library(NAME SOURCES a.cc b.cc LINKS tally_core VENDOR pkg::lib)
# LINKS are visible to whoever links NAME; VENDOR libraries stay behind its sources.
function(tally_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;VENDOR" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC tally_options ${arg_LINKS} PRIVATE ${arg_VENDOR} Threads::Threads)
endfunction()

# tally_program(NAME SOURCES main.cc LINKS tally_aggregator): a thin main over a library.
function(tally_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;VENDOR" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE tally_options ${arg_LINKS} ${arg_VENDOR} Threads::Threads)
endfunction()
