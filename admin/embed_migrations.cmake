# cmake -DSQL_DIR=… -DOUTPUT=… -P embed_migrations.cmake: the migrations and their checksums as one source.
file(GLOB files ${SQL_DIR}/[0-9][0-9][0-9][0-9]_*.sql)
list(SORT files)
set(entries "")
set(last 0)
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  string(REGEX MATCH "^([0-9]+)_" number_part ${name})
  string(REGEX REPLACE "^0*([0-9]+)$" "\\1" number "${CMAKE_MATCH_1}")
  if(NOT number GREATER last)
    message(FATAL_ERROR "${name}: two migrations have the number ${number}, give it the next free one")
  endif()
  set(last ${number})
  file(READ ${file} sql)
  file(SHA256 ${file} sha256)
  string(APPEND entries
    "    Migration{${number}, \"${name}\",\n              \"${sha256}\",\n              R\"tally_sql(${sql})tally_sql\"},\n")
endforeach()
if(NOT entries)
  message(FATAL_ERROR "no migrations in ${SQL_DIR}")
endif()
set(source "// Made by admin/embed_migrations.cmake.
#include \"admin/migrations.h\"

#include <array>

namespace tally::admin {
namespace {
constexpr auto kMigrations = std::to_array<Migration>({
${entries}});
}  // namespace

std::span<const Migration> embedded_migrations() { return kMigrations; }

}  // namespace tally::admin
")
file(WRITE ${OUTPUT} "${source}")
