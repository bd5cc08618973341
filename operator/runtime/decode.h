// From the API server's JSON to the core's objects.
#pragma once

#include "operator/core/events.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

// Of any kind but kCloudServer, whose resource is that of its engine.
const kube::Resource& ResourceOf(core::Kind kind);
// Of a NodeMetricsList; what cannot be read is left out.
core::Measured DecodeMeasured(const api::Json& list);
// Never throws: whatever is wrong with the object is its error.
Result<core::Object> Decode(core::Kind kind, const api::Json& object);

}  // namespace spillway::runtime
