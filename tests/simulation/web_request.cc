#include "tests/simulation/web_request.h"

#include <algorithm>
#include <vector>

#include "operator/api/meta.h"
#include "operator/base/json.h"
#include "operator/runtime/decode.h"

namespace spillway::simulation {
namespace {

using api::Json;
using core::Kind;

Query QueryOf(const std::string& text) {
  Query out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('&', at), text.size());
    const std::string part = text.substr(at, end - at);
    const size_t equals = std::min(part.find('='), part.size());
    out[part.substr(0, equals)] = part.substr(std::min(equals + 1, part.size()));
    at = end + 1;
  }
  return out;
}

std::vector<std::string> Segments(const std::string& path) {
  std::vector<std::string> out;
  for (size_t at = 1; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    out.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::optional<Kind> KindOf(const std::string& collection) {
  for (size_t i = 0; i < core::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind != Kind::kCloudServer && runtime::ResourceOf(kind).Path("") == collection) return kind;
  }
  return std::nullopt;
}

// The value that a JSON patch writes there; null if it writes none.
Json ValueAt(const Json& patch, const std::string& path) {
  for (const Json& operation : patch) {
    if (api::GetString(operation, "path") == path) return operation.value("value", Json());
  }
  return nullptr;
}

}  // namespace

std::optional<Target> TargetOf(const std::string& path_and_query) {
  const size_t mark = std::min(path_and_query.find('?'), path_and_query.size());
  Target out;
  out.query = QueryOf(path_and_query.substr(std::min(mark + 1, path_and_query.size())));
  std::vector<std::string> parts = Segments(path_and_query.substr(0, mark));
  const size_t group = !parts.empty() && parts[0] == "apis" ? 3 : 2;  // "api/v1", "apis/group/v1"
  if (parts.size() > group + 2 && parts[group] == "namespaces") {
    out.ns = parts[group + 1];
    parts.erase(parts.begin() + static_cast<int>(group),
                parts.begin() + static_cast<int>(group) + 2);
  }
  if (parts.size() <= group || parts.size() > group + 3) return std::nullopt;
  if (parts.size() > group + 1) out.name = parts[group + 1];
  if (parts.size() > group + 2) out.part = parts[group + 2];
  std::string collection;
  for (size_t i = 0; i <= group; ++i) collection += "/" + parts[i];
  const auto kind = KindOf(collection);
  if (!kind) return std::nullopt;
  out.kind = *kind;
  return out;
}

std::optional<core::Write> WriteOf(const kube::Request& request, const Target& target) {
  const Json body = ParseJson(request.body);
  core::Write write;
  write.kind = target.kind;
  write.ns = target.ns;
  write.name = target.name;
  if (request.method == "POST" && target.name.empty()) {
    write.verb = core::Verb::kCreate;
    write.name = api::DecodeMeta(body).name;
    write.body = body;
    return write;
  }
  if (request.method == "PATCH" && target.part == "status") {
    const Json uid = ValueAt(body, "/metadata/uid");
    const Json version = ValueAt(body, "/metadata/resourceVersion");
    if (!uid.is_string() || !version.is_string()) return std::nullopt;
    write.verb = core::Verb::kPatchStatus;
    write.uid = uid;
    write.resource_version = std::stoll(version.get<std::string>());
    write.body = ValueAt(body, "/status");
    return write;
  }
  if (request.method != "DELETE" || target.name.empty()) return std::nullopt;
  write.verb = core::Verb::kDelete;
  write.uid = api::GetString(api::GetObject(body, "preconditions"), "uid");
  write.grace = api::GetOptionalInt(body, "gracePeriodSeconds");
  return write;
}

}  // namespace spillway::simulation
