// A pod that was made and does not start: the task says why, as kube-scheduler, the kubelet or the
// pod's Events tell it; one that kube-scheduler has no node for is taken back.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// What starts by then was never stuck. Its Events are read then, after 30 s, and after ever longer
// pauses.
inline constexpr Duration kStuckAfter{8'000}, kAskAgainAfter{22'000}, kMostAskPause{600'000};
// A pod that kube-scheduler has no node for is taken back after so long, and keeps no room for
// others to wait for; the next attempt is made after a pause that doubles.
inline constexpr Duration kUnschedulableFor{10'000};
inline constexpr BackoffRange kPauseHere{std::chrono::seconds(10), std::chrono::seconds(300)};
inline constexpr BackoffRange kPauseElsewhere{std::chrono::seconds(1), std::chrono::seconds(300)};
// The Events of a pod that kube-scheduler says nothing of are read after so long, and again after
// that pause.
inline constexpr Duration kUnheardAfter{3'000}, kAskUnheardAfter{5'000};
// So long may kube-scheduler be silent before that is told; of a pod that names a ResourceClaim it
// then counts as if it had no node.
inline constexpr Duration kSchedulerSilent{30'000};

// What is told of such a pod is written at most so often.
inline constexpr Duration kTellAgain{5'000};

// Follows the pod of the current attempt, which is pending.
void FollowStuck(World& world, TaskState& task, const api::Pod& pod);
// What the Events of a task's pod say.
void HearPod(World& world, const PodWarned& warned);

}  // namespace spillway::core
