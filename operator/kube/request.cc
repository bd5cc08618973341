#include "operator/kube/request.h"

#include "operator/base/foreign_text.h"
#include "operator/base/json.h"

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

// The text of an answer that is no Status: of a proxy, a load balancer or a webhook, mostly.
std::string Quote(const std::string& body) {
  const std::string line = OneLine(body, kMostLine);
  return line.empty() ? "" : ": " + line;
}

// A denial by a webhook or a policy, whatever code it gives: the API server's own words, before
// the denier's. It may come with any code, and says nothing of the object or of the connection.
bool DeniedByAdmission(const std::string& message) {
  const bool denied = message.find(" denied the request") != std::string::npos ||
                      message.find(" denied request") != std::string::npos;
  return denied && (message.starts_with("admission webhook ") ||
                    message.find("AdmissionPolicy '") != std::string::npos);
}

bool ChangesObject(const Request& request) {
  return request.method == "PATCH" || request.method == "PUT" || request.method == "DELETE";
}

// An object is gone only if the answer says so of that object: a path that is not served at the
// moment, as after a restart, is not found either.
bool NamesItsObject(const Request& request, const Response& response) {
  const std::string name = TextOf(PartOf(ParseJson(response.body), "details"), "name");
  if (name.empty()) return false;
  const std::string path = request.path.substr(0, request.path.find('?'));
  return path.ends_with("/" + name) || path.find("/" + name + "/") != std::string::npos;
}

}  // namespace

std::string TextOf(const Json& json, const char* key) {
  const auto at = json.find(key);  // the end, where it is no object
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

const Json& PartOf(const Json& json, const char* key) {
  static const Json kNothing;
  const auto at = json.find(key);
  return at != json.end() ? *at : kNothing;
}

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
  return {"POST", resource.Path(ns), kJson, Dump(body)};
}

Request ReplaceRequest(const Resource& resource, const std::string& ns, const std::string& name,
                       const Json& body) {
  return {"PUT", resource.Path(ns, name), kJson, Dump(body)};
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
  return {"PATCH", resource.Path(ns, name, "status"), "application/json-patch+json", Dump(patch)};
}

Request PatchRequest(const Resource& resource, const std::string& ns, const std::string& name,
                     const std::string& uid, int64_t version, const Json& operations) {
  Json patch = {{{"op", "replace"}, {"path", "/metadata/uid"}, {"value", uid}}};
  if (version != 0) {
    patch.push_back({{"op", "replace"},
                     {"path", "/metadata/resourceVersion"},
                     {"value", std::to_string(version)}});
  }
  patch.insert(patch.end(), operations.begin(), operations.end());
  return {"PATCH", resource.Path(ns, name), "application/json-patch+json", Dump(patch)};
}

Request DeleteRequest(const Resource& resource, const std::string& ns, const std::string& name,
                      const std::string& uid, std::optional<int64_t> grace_seconds) {
  Json options = {
      {"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", "Background"}};
  if (!uid.empty()) options["preconditions"] = {{"uid", uid}};
  if (grace_seconds) options["gracePeriodSeconds"] = *grace_seconds;
  return {"DELETE", resource.Path(ns, name), kJson, Dump(options)};
}

Result<Json> ReadResponse(const Response& response) {
  Json body = ParseJson(response.body);
  if (response.status >= 200 && response.status < 300) {
    if (!body.is_object())
      return Error{ErrorKind::kUnavailable,
                   "the answer is not a JSON object" + Quote(response.body), std::nullopt, true};
    return body;
  }
  std::string message, reason;
  if (body.is_object()) {
    message = Bounded(TextOf(body, "message"), kMostMessage);
    reason = TextOf(body, "reason");
  }
  if (message.empty()) {
    message = "HTTP " + std::to_string(response.status);
    if (!body.is_object()) message += Quote(response.body);
  }
  // Of a gateway, or of the API server that has given up waiting: it may be carried out yet.
  const bool ambiguous = response.status == 502 || response.status == 504;
  if (DeniedByAdmission(message)) return Error{ErrorKind::kForbidden, std::move(message), {}};
  return Error{KindOf(response.status, reason), std::move(message), response.retry_after,
               ambiguous};
}

Result<Json> Call(Transport& transport, const Request& request, std::stop_token stop) {
  const auto response = transport.Send(request, std::move(stop));
  if (!response) return response.error();
  auto object = ReadResponse(*response);
  if (!object && object.error().kind == ErrorKind::kNotFound && ChangesObject(request) &&
      !NamesItsObject(request, *response)) {
    Error error = object.error();
    error.kind = ErrorKind::kUnavailable;
    return error;
  }
  return object;
}

}  // namespace spillway::kube
