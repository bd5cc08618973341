// From the API server's JSON to the core's objects.
#pragma once

#include "operator/core/events.h"
#include "operator/kube/watcher.h"

namespace spillway::runtime {

const kube::Resource& ResourceOf(core::Kind kind);
// Of a NodeMetricsList; what cannot be read is left out.
core::Measured DecodeMeasured(const api::Json& list);
// Never throws: whatever is wrong with the object is its error.
Result<core::Object> Decode(core::Kind kind, const api::Json& object);

// An event of a watch as the core takes it, and what could not be read of it.
struct Told {
  core::Event event;
  std::optional<Error> unreadable;
};
// An object that can no longer be read counts as deleted, since what was known of it is outdated.
// During a list, pass no event on for it and leave its key out of the list.
Told Tell(core::Kind kind, kube::WatchEvent what, const api::Json& object);

}  // namespace spillway::runtime
