// What a request asks the API server for, by its method, path and body.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "operator/core/events.h"
#include "operator/kube/transport.h"

namespace spillway::simulation {

using Query = std::map<std::string, std::string>;

struct Target {
  core::Kind kind{};
  std::string ns, name, part;  // name: empty for the whole collection; part: "status", or empty
  Query query;

  std::string key() const { return ns.empty() ? name : ns + "/" + name; }
};

// Nothing if it is no resource that the operator reads or writes.
std::optional<Target> TargetOf(const std::string& path_and_query);
// Nothing if the operator sends no such request.
std::optional<core::Write> WriteOf(const kube::Request& request, const Target& target);

}  // namespace spillway::simulation
