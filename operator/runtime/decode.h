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

// What a watch tells, as the core takes it, and what could not be read of it.
struct Told {
  core::Event event;
  std::optional<Error> unreadable;
};
// An object that cannot be read any more is told as gone: what was known of it does not hold. Of a
// list, the event is not to be passed on then; the key is to be left out of the list.
Told Tell(core::Kind kind, kube::WatchEvent what, const api::Json& object);

}  // namespace spillway::runtime
