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

// Of one pod, at most so many are read.
inline constexpr int64_t kMostPodEvents = 100;

// Whether the effect is sent again after this error; attempts: how often it was tried before.
// Effects are idempotent (names fixed in advance, preconditions), so an effect whose answer was
// lost may be sent again.
bool TryAgain(const core::Effect& effect, const Error& error, int attempts);
// Doubles from 100 ms up to 10 s, and never less than what the server asked for.
std::chrono::milliseconds Backoff(const Error& error, int attempts);

// The report of a write, or of a request to a cloud engine (kEnsure, kRelease), without its result.
core::Outcome OutcomeOf(const core::Write& write);
core::Outcome OutcomeOf(const core::AskCloud& ask);

// The Events of the pod, and what its latest Warning says, cut to what a person reads.
kube::Request PodEventsRequest(const core::AskWhy& ask);
core::PodWarned LatestWarning(const core::AskWhy& ask, const api::Json& event_list);

}  // namespace spillway::runtime
