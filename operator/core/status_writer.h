// When the status of an object is written: at most one patch in flight, only when it says something
// new, and with backoff while it is refused.
#pragma once

#include <algorithm>
#include <optional>

#include "operator/base/boxed.h"
#include "operator/core/backoff.h"
#include "operator/core/context.h"

namespace spillway::core {

// Of a status that was refused. A text that the schema, or a webhook, calls invalid may be so for
// ever: that very text waits longer than another one.
struct StatusRefusal : Backoff {
  Time same_not_before{};
};

// Of one that another process has written over, as one does that leads as well: what is written
// again without any news waits so long, so that two of them do not do so without end.
inline constexpr BackoffRange kWrittenOver{std::chrono::milliseconds(20'000),
                                           std::chrono::milliseconds(300'000)};

struct StatusWriter {
  size_t written = 0;  // fingerprint of the status as the API server has it
  size_t stored = 0;   // the same, as it is read: a schema may leave out some of what is written
  size_t sent = 0;     // of the patch in flight, or sent last
  size_t ours = 0;     // of the last that has stood: what says the same is no news
  bool in_flight = false;
  Boxed<StatusRefusal> refused;
  Boxed<Backoff> over;  // ours was written over
  Time last{};

  Time AgainAt() const { return over ? over->not_before : Time{}; }
  // When a status with this fingerprint may be sent.
  Time NotBefore(size_t fingerprint) const {
    Time at = fingerprint == ours ? AgainAt() : Time{};
    if (!refused) return at;
    if (fingerprint == sent) at = std::max(at, refused->same_not_before);
    return std::max(at, refused->not_before);
  }
};

// Of a status as it is sent: equal texts have equal fingerprints, and different ones, for all that
// matters, different ones. The texts themselves would be the most of our memory.
size_t Fingerprint(const api::Json& status);

// This status stands in the API server, and is for us to go on from.
void TakeStatus(StatusWriter& writer, const api::Json& status);
// The object was seen again, with this status. True if another has written that over ours, which is
// to be written again. While a patch of ours is on its way, only its answer can say.
bool WrittenOver(const Context& context, StatusWriter& writer, const api::ObjectMeta& meta,
                 const api::Json& status);

// Emits a status patch if the status differs from what is written and none is in flight.
// True if the status stands as it should, or is on its way; otherwise wake is when it may be sent.
bool WriteStatus(Context& context, StatusWriter& writer, Kind kind, const api::ObjectMeta& meta,
                 api::Json status, Time* wake);
// The same for an object whose status is calculated in every step: what has not changed since it
// was written is not even encoded.
template <typename State>
void KeepStatus(Context& context, State& state, Kind kind) {
  if (state.writer.in_flight || state.settled == state.object.status) return;
  if (WriteStatus(context, state.writer, kind, state.object.meta, EncodeStatus(state.object.status),
                  &context.wake))
    state.settled = state.object.status;
}
// The same object was seen again: another may have written over its status.
template <typename State, typename Status>
void SeeStatus(const Context& context, State& state, const Status& stored) {
  if (WrittenOver(context, state.writer, state.object.meta, EncodeStatus(stored)))
    state.settled.reset();
}
// What follows the words of a refusal: how soon the patch is tried again.
const char* StatusAgain(const Error& error);
// How a status patch of the object ended. True if it was refused for another reason than before.
bool StatusWritten(const Context& context, StatusWriter& writer, const api::ObjectMeta& meta,
                   const Outcome& outcome);
// The same, for the object in the map that the patch was meant for, if it is still there.
template <typename Map>
void ConcludeStatus(const Context& context, Map& map, const Outcome& outcome) {
  const auto at = map.find(outcome.key);
  if (at == map.end() || at->second.object.meta.uid != outcome.request_uid) return;
  StatusWriter& writer = at->second.writer;
  StatusWritten(context, writer, at->second.object.meta, outcome);
  if constexpr (requires { at->second.settled; }) {
    if (writer.written != writer.sent) at->second.settled.reset();
  }
}

}  // namespace spillway::core
