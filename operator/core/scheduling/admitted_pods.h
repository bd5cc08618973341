// What pods really ask for once defaults, policies and webhooks have had their way, as the answer
// to their creation shows it.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// The reason of an attempt whose pod was taken back, since its server does not suit it as it was
// admitted.
inline constexpr char kDoesNotFit[] = "DoesNotFit";

// Later pods of the kind will be admitted as this one of the task was. True if that is more than
// was reckoned with.
bool Learn(World& world, Admission& admission, const TaskState& task, const api::Pod& pod);
// Forgets what was learned too long ago.
void ForgetLearned(World& world);
// What of the pod's server does not suit it as it was admitted; empty if all does.
std::string Unfit(const World& world, const TaskState& task, const api::Pod& pod);

}  // namespace spillway::core
