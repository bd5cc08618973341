// The Kubernetes Event that a Note becomes. Pure.
#pragma once

#include "operator/core/events.h"

namespace spillway::runtime {

// Texts are cut to the lengths that Kubernetes accepts. number: never used twice by this process at
// the same time, for the Event's name. identity: of this process.
api::Json EventBody(const core::Note& note, const std::string& identity, Time now, uint64_t number);
// Where the Event is made: that of the object, or "default" for one of the whole cluster.
std::string NamespaceOf(const core::Note& note);

}  // namespace spillway::runtime
