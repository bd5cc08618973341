#include "operator/kube/request.h"

namespace spillway::kube {
namespace {

constexpr char kJson[] = "application/json";

ErrorKind KindOf(int status, const std::string& reason) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return ErrorKind::kInvalid;
    case 401:
      return ErrorKind::kUnauthenticated;
    case 403:
      return ErrorKind::kForbidden;
    case 404:
      return ErrorKind::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? ErrorKind::kAlreadyExists : ErrorKind::kConflict;
    case 410:
      return ErrorKind::kGone;
    default:
      return status >= 400 && status < 429 ? ErrorKind::kInvalid : ErrorKind::kUnavailable;
  }
}

std::string Text(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

std::string Resource::Path(const std::string& ns, const std::string& name,
                           const std::string& subresource) const {
  std::string path = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  if (!ns.empty()) path += "/namespaces/" + ns;
  path += "/" + plural;
  if (!name.empty()) path += "/" + name;
  if (!subresource.empty()) path += "/" + subresource;
  return path;
}

Request ListRequest(const Resource& resource, const std::string& ns, int64_t limit,
                    const std::string& next) {
  std::string path = resource.Path(ns) + "?limit=" + std::to_string(limit);
  if (!next.empty()) path += "&continue=" + next;  // URL-safe base64 by contract
  return {"GET", std::move(path), "", ""};
}

Request StreamingListRequest(const Resource& resource, const std::string& ns, int timeout_seconds) {
  return {"GET",
          resource.Path(ns) +
              "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
              "&allowWatchBookmarks=true&timeoutSeconds=" +
              std::to_string(timeout_seconds),
          "", ""};
}

Request WatchRequest(const Resource& resource, const std::string& ns, const std::string& version,
                     int timeout_seconds) {
  return {"GET",
          resource.Path(ns) + "?watch=1&allowWatchBookmarks=true&resourceVersion=" + version +
              "&timeoutSeconds=" + std::to_string(timeout_seconds),
          "", ""};
}

Request GetRequest(const Resource& resource, const std::string& ns, const std::string& name) {
  return {"GET", resource.Path(ns, name), "", ""};
}

Request CreateRequest(const Resource& resource, const std::string& ns, const Json& body) {
  return {"POST", resource.Path(ns), kJson, body.dump()};
}

Request ReplaceRequest(const Resource& resource, const std::string& ns, const std::string& name,
                       const Json& body) {
  return {"PUT", resource.Path(ns, name), kJson, body.dump()};
}

Request StatusRequest(const Resource& resource, const std::string& ns, const std::string& name,
                      const std::string& uid, int64_t version, const Json& status) {
  const Json patch = {
      {{"op", "replace"}, {"path", "/metadata/uid"}, {"value", uid}},
      {{"op", "replace"},
       {"path", "/metadata/resourceVersion"},
       {"value", std::to_string(version)}},
      {{"op", "add"}, {"path", "/status"}, {"value", status}},
  };
  return {"PATCH", resource.Path(ns, name, "status"), "application/json-patch+json", patch.dump()};
}

Request DeleteRequest(const Resource& resource, const std::string& ns, const std::string& name,
                      const std::string& uid, std::optional<int64_t> grace_seconds) {
  Json options = {
      {"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", "Background"}};
  if (!uid.empty()) options["preconditions"] = {{"uid", uid}};
  if (grace_seconds) options["gracePeriodSeconds"] = *grace_seconds;
  return {"DELETE", resource.Path(ns, name), kJson, options.dump()};
}

Result<Json> ReadResponse(const Response& response) {
  Json body = Json::parse(response.body, nullptr, false);
  if (response.status >= 200 && response.status < 300) {
    if (body.is_discarded())
      return Error{ErrorKind::kUnavailable, "the answer is not JSON", std::nullopt};
    return body;
  }
  std::string message = "HTTP " + std::to_string(response.status), reason;
  if (body.is_object()) {
    if (const std::string text = Text(body, "message"); !text.empty()) message = text;
    reason = Text(body, "reason");
  }
  return Error{KindOf(response.status, reason), std::move(message), response.retry_after};
}

Result<Json> Call(Transport& transport, const Request& request, std::stop_token stop) {
  const auto response = transport.Send(request, std::move(stop));
  if (!response) return response.error();
  return ReadResponse(*response);
}

}  // namespace spillway::kube
