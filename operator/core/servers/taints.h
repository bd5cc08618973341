// Which of a node's taints are matters of its readiness, and which are properties of it.
#pragma once

#include <vector>

#include "operator/api/core_v1.h"

namespace spillway::core {

// Taints by which the node controller says what the node's conditions say; whether such a node
// takes tasks is a matter of its readiness, not of tolerations.
bool IsReadinessTaint(const api::Taint& taint);

// Those of the node's taints that are.
std::vector<api::Taint> PropertyTaints(const api::Node& node);

}  // namespace spillway::core
