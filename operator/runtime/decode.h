// From the API server's JSON to the core's objects.
#pragma once

#include "operator/core/events.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

const kube::Resource& ResourceOf(core::Kind kind);
Result<core::Object> Decode(core::Kind kind, const api::Json& object);

}  // namespace spillway::runtime
