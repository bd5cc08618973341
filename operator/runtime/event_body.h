// The Kubernetes Event that a Note becomes. Pure.
#pragma once

#include "operator/core/events.h"

namespace spillway::runtime {

// What nobody bounded yet is bounded here, as Kubernetes does it or refuses it. number: one that
// this process never uses twice at one moment. identity: of this process.
api::Json EventBody(const core::Note& note, const std::string& identity, Time now, uint64_t number);
// Where the Event is made: that of the object, or "default" for one of the whole cluster.
std::string NamespaceOf(const core::Note& note);

}  // namespace spillway::runtime
