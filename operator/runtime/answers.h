// What follows from the answer to an effect: another try, or a report to the core. Pure, so that
// the simulator carries effects out by the same rules as the executor does.
#pragma once

#include <chrono>
#include <optional>

#include "operator/core/events.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

// Tries of an Event.
inline constexpr int kMostNoteTries = 4;
// Tries of a status: the core writes a newer one by then, and knows whose turn it is.
inline constexpr int kMostStatusTries = 3;
// Of a pod's creation, or of a deletion: tries where the API server said when to come again
// (Retry-After).
inline constexpr int kMostPoliteTries = 4;
// One that took longer is not retried here; the core decides.
inline constexpr std::chrono::seconds kQuickTry{2};

// How many Events of one pod are read at most.
inline constexpr int64_t kMostPodEvents = 100;

// Whether the effect is sent again after this error; attempts: how often it was tried before; took:
// the last try. Effects are idempotent (names fixed in advance, preconditions), so an effect whose
// answer was lost may be sent again. A pod's creation, a deletion and what an engine is asked for
// get one more try at most: the core says to the user why there is no pod or server, or still one,
// spaces the tries, and may not want it any more; and until it is answered nothing else of the
// object is sent, such as its status.
bool TryAgain(const core::Effect& effect, const Error& error, int attempts, Duration took);
// The wait before the next try: BackoffAfter from 200 ms up to a minute, and never less than what
// the server asked for. random: any number.
std::chrono::milliseconds Backoff(const Error& error, int attempts, uint64_t random);
// Whether the next effect on the object has to wait, since this one was refused and the next may
// be as well. False for answers that mean that nothing is left to do, and for the creation of a
// pod and what engines are asked for, which the core spaces.
bool Refused(const core::Effect& effect, const Error& error);

// The report of a write, or of a request to a cloud engine (kEnsure, kRelease), without its result.
core::Outcome OutcomeOf(const core::Write& write);
core::Outcome OutcomeOf(const core::AskCloud& ask);

// The Events of the pod, and what its latest Warning says, cut to what a person reads.
kube::Request PodEventsRequest(const core::AskWhy& ask);
core::PodWarned LatestWarning(const core::AskWhy& ask, const api::Json& event_list);

}  // namespace spillway::runtime
