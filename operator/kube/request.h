// Requests to the API server as values, and its answers as Results. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "operator/kube/transport.h"

namespace spillway::kube {

using Json = nlohmann::json;

// A resource of the API: group "" is the core group.
struct Resource {
  std::string group, version, plural;

  // Of the whole cluster where ns is empty.
  std::string Path(const std::string& ns, const std::string& name = "",
                   const std::string& subresource = "") const;
};

inline const Resource kPods{"", "v1", "pods"};
inline const Resource kNodes{"", "v1", "nodes"};
inline const Resource kEvents{"", "v1", "events"};
inline const Resource kNodeMetrics{"metrics.k8s.io", "v1beta1", "nodes"};
inline const Resource kNamespaces{"", "v1", "namespaces"};
inline const Resource kPriorityClasses{"scheduling.k8s.io", "v1", "priorityclasses"};
inline const Resource kSecrets{"", "v1", "secrets"};
inline const Resource kLeases{"coordination.k8s.io", "v1", "leases"};

Request ListRequest(const Resource& resource, const std::string& ns, int64_t limit,
                    const std::string& next);
// A watch that begins with everything there is, as ADDED events in no order of versions, and then a
// bookmark annotated with kInitialEventsEnd (KEP-3157, served from the API server's cache). Refused
// as invalid by API servers that do not know it.
inline constexpr char kInitialEventsEnd[] = "k8s.io/initial-events-end";
Request StreamingListRequest(const Resource& resource, const std::string& ns, int timeout_seconds);
Request WatchRequest(const Resource& resource, const std::string& ns, const std::string& version,
                     int timeout_seconds);
Request GetRequest(const Resource& resource, const std::string& ns, const std::string& name);
Request CreateRequest(const Resource& resource, const std::string& ns, const Json& body);
Request ReplaceRequest(const Resource& resource, const std::string& ns, const std::string& name,
                       const Json& body);
// Replaces the status as a whole. Refused with a conflict unless the object has this version. The
// API server leaves aside another uid in a status, but no two objects have the same version.
Request StatusRequest(const Resource& resource, const std::string& ns, const std::string& name,
                      const std::string& uid, int64_t version, const Json& status);
// A JSON patch of the object. Refused with a conflict unless it has this uid, and this version if
// it is not 0.
Request PatchRequest(const Resource& resource, const std::string& ns, const std::string& name,
                     const std::string& uid, int64_t version, const Json& operations);
// Refused with a conflict unless the object has this uid. Dependents go in the background.
Request DeleteRequest(const Resource& resource, const std::string& ns, const std::string& name,
                      const std::string& uid, std::optional<int64_t> grace_seconds);

// Lookups that never throw: empty, or null, where there is no such member or json is no object.
std::string TextOf(const Json& json, const char* key);
const Json& PartOf(const Json& json, const char* key);

// The object of a 2xx answer; otherwise an Error with the message of the answer's Status, at most
// kMostMessage bytes of it.
Result<Json> ReadResponse(const Response& response);
// Both in one.
Result<Json> Call(Transport& transport, const Request& request, std::stop_token stop);

// Splits a stream into lines. Not thread-safe.
class LineSplitter {
 public:
  // Calls line for each line that is complete now; empty lines are skipped.
  template <typename Line>
  void Feed(std::string_view piece, Line line) {
    for (size_t end; (end = piece.find('\n')) != std::string_view::npos;
         piece.remove_prefix(end + 1)) {
      rest_.append(piece.substr(0, end));
      if (!rest_.empty()) line(std::string_view(rest_));
      rest_.clear();
    }
    rest_.append(piece);
  }

 private:
  std::string rest_;
};

}  // namespace spillway::kube
