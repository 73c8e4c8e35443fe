#include "tests/unit/serve/api_document.h"

#include "producer/serve/openapi.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>

namespace tally::producer::serve {
namespace {

using nlohmann::json;

const json& document() {
  static const json parsed = json::parse(openapi());
  return parsed;
}

std::string problem_of_members(const json& body, const json& response) {
  const json& known = document().at("components").at("schemas").at("Problem");
  for (const auto& name : known.at("required")) {
    if (!body.contains(name)) return "the problem has no " + name.get<std::string>();
  }
  for (const auto& [name, value] : body.items()) {
    const auto found = known.at("properties").find(name);
    if (found == known.at("properties").end()) return "the problem has an unknown " + name;
    const std::string type = found->at("type");
    const bool right = type == "string"    ? value.is_string()
                       : type == "integer" ? value.is_number_integer()
                       : type == "array"   ? value.is_array()
                                           : value.is_object();
    if (!right) return name + " is no " + type;
  }
  const json& codes =
      response.at("content").at("application/problem+json").at("schema").at("allOf");
  const json& code = codes.at(1).at("properties").at("code").at("enum");
  const bool documented = std::find(code.begin(), code.end(), body.at("code")) != code.end();
  return documented ? "" : "the code " + body.at("code").dump();
}

}  // namespace

std::string undocumented(const runtime::http::Request& request,
                         const runtime::http::Response& response) {
  const json& paths = document().at("paths");
  const std::string path(request.path());
  // The document cannot list what it does not have.
  if (!paths.contains(path)) return response.status == 404 ? "" : "the path " + path;
  const json& operation = paths.at(path).begin().value();
  const std::string status = std::to_string(response.status);
  if (!operation.at("responses").contains(status)) return "status " + status + " of " + path;
  const json& documented = operation.at("responses").at(status);
  const std::string type(response.header("Content-Type"));
  if (!documented.contains("content")) return response.body.empty() && type.empty() ? "" : "a body";
  if (!documented.at("content").contains(type.substr(0, type.find(';')))) return "type " + type;
  const json headers = documented.value("headers", json::object());
  for (const auto& [name, header] : headers.items()) {
    const bool only_some = name == "Retry-After" && response.status == 503;
    if (response.header(name).empty() && !only_some) return "no header " + name;
  }
  if (type != "application/problem+json") return "";
  const json body = json::parse(response.body);
  if (body.at("status") != response.status) return "another status in the body";
  return problem_of_members(body, documented);
}

}  // namespace tally::producer::serve
