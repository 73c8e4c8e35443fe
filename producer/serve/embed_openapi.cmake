# cmake -DJSON=… -DOUTPUT=… -P embed_openapi.cmake: schemas/http/ingest.json as a source.
file(READ ${JSON} json)
# A literal may be 65,536 characters long: cut it in pieces.
string(LENGTH "${json}" length)
set(pieces "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${json}" ${at} 8000 piece)
  string(APPEND pieces "\n    R\"tally_json(${piece})tally_json\"")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE ${OUTPUT} "// Made by producer/serve/embed_openapi.cmake.
#include \"producer/serve/openapi.h\"

namespace tally::producer::serve {

std::string_view openapi() {
  return${pieces};
}

}  // namespace tally::producer::serve
")
