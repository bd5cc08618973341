// What the status of a pod says of its containers, taken together.
#pragma once

#include "operator/api/core_v1.h"

namespace spillway::api {

// Reads the object's status into the pod. The containers are taken in the order of the pod's spec:
// the lists of the status are sorted by name.
void DecodePodStatus(const Json& object, Pod& pod);

}  // namespace spillway::api
