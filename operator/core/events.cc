#include "operator/core/events.h"

namespace spillway::core {

const char* ToString(Kind kind) {
  static constexpr const char* kNames[] = {
      "TaskRequest", "RegisteredServer", "ServerPool", "ScaleRequest", "Pod", "Node", "CloudServer",
      "Lease",       "PriorityClass",    "Namespace",  "Budget"};
  return kNames[static_cast<size_t>(kind)];
}

int64_t VersionOf(const Object& object) {
  return std::visit(
      [](const auto& value) -> int64_t {
        if constexpr (requires { value.resource_version; })
          return value.resource_version;
        else
          return value.meta.resource_version;
      },
      object);
}

const std::string& EngineOf(const Object& object) {
  static const std::string kNone;
  const auto* server = std::get_if<api::CloudServer>(&object);
  return server == nullptr ? kNone : server->engine;
}

}  // namespace spillway::core
