// What follows from the answer to an effect: another try, or a report to the core. Pure, so that
// the simulator carries effects out by the same rules as the executor does.
#pragma once

#include <chrono>
#include <optional>

#include "operator/core/events.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

// Events are not worth more tries than this.
inline constexpr int kMostNoteTries = 4;
// Nor are statuses: the core will have a newer one to write, and knows whose turn it is.
inline constexpr int kMostStatusTries = 3;
// Of an API server that asks to come again (Retry-After).
inline constexpr int kMostPolitePodTries = 4;
// A pod's creation that took longer is not tried again by us.
inline constexpr std::chrono::seconds kQuickTry{2};

// Of one pod, at most so many are read.
inline constexpr int64_t kMostPodEvents = 100;

// Whether the effect is sent again after this error; attempts: how often it was tried before; took:
// the last try. Effects are idempotent (names fixed in advance, preconditions), so an effect whose
// answer was lost may be sent again. A pod's creation gets one more try at most: the core says to
// the user why there is no pod, and spaces the tries of all that ask for the same.
bool TryAgain(const core::Effect& effect, const Error& error, int attempts, Duration took);
// Doubles from 100 ms up to a minute with jitter, and never less than what the server asked for.
// random: any number.
std::chrono::milliseconds Backoff(const Error& error, int attempts, uint64_t random);
// Whether the next effect on the object has to wait: it was refused, and may be so again. Not for
// what says that there is nothing to do, nor for a pod's creation, which the core spaces.
bool Refused(const core::Effect& effect, const Error& error);

// The report of a write, or of a request to a cloud engine (kEnsure, kRelease), without its result.
core::Outcome OutcomeOf(const core::Write& write);
core::Outcome OutcomeOf(const core::AskCloud& ask);

// The Events of the pod, and what its latest Warning says, cut to what a person reads.
kube::Request PodEventsRequest(const core::AskWhy& ask);
core::PodWarned LatestWarning(const core::AskWhy& ask, const api::Json& event_list);

}  // namespace spillway::runtime
