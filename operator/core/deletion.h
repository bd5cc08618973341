// Deletions that are asked for until they are seen to be done, with backoff while they are refused.
#pragma once

#include <optional>
#include <string>

#include "operator/core/backoff.h"
#include "operator/core/context.h"

namespace spillway::core {

struct Deletion {
  bool sent = false;    // and not refused
  bool forced = false;  // without a grace period
  Time asked_at{};      // first
  std::string error;    // with which it was refused last; empty if it was not
  Backoff backoff;
};

// The reason of the Event that tells of a refused deletion, and what follows its message.
inline constexpr char kDeleteFailed[] = "DeleteFailed";
inline constexpr char kAgain[] = "; tried again with growing pauses of up to a minute";

// Whether the deletion may be sent now; wake: when, otherwise, if it was refused.
bool MayDelete(const Context& context, const Deletion& deletion, Time* wake);
// How a deletion of the object ended. True if it was refused for another reason than before.
bool Deleted(const Context& context, Deletion& deletion, const std::string& uid,
             const std::optional<Error>& error);

}  // namespace spillway::core
