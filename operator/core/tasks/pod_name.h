// How the pods of a task's attempts are named.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spillway::core {

// "<task>-<attempt>": fixed, so that an attempt is created once however often it is asked for.
std::string PodName(const std::string& task, int64_t attempt);
// The attempt of the task that has the pod of this name; 0 if none has.
int64_t AttemptOf(std::string_view task, std::string_view pod);

}  // namespace spillway::core
