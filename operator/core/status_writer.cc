#include "operator/core/status_writer.h"

#include <functional>
#include <string>
#include <utility>

#include "operator/base/json.h"
#include "operator/core/deletion.h"

namespace spillway::core {

size_t Fingerprint(const api::Json& status) { return std::hash<std::string>{}(Dump(status)); }

bool WriteStatus(Context& context, StatusWriter& writer, Kind kind, const api::ObjectMeta& meta,
                 api::Json status, Time* wake) {
  if (writer.in_flight) return true;
  const size_t fingerprint = Fingerprint(status);
  if (fingerprint == writer.written) return true;
  if (const Time due = writer.NotBefore(fingerprint); context.now < due) {
    *wake = std::min(*wake, due);
    return false;
  }
  writer.in_flight = true;
  writer.sent = fingerprint;
  writer.last = context.now;
  context.effects.push_back(Write{Verb::kPatchStatus, kind, meta.ns, meta.name, meta.uid,
                                  meta.resource_version, std::move(status), std::nullopt});
  return true;
}

const char* StatusAgain(const Error& error) {
  return error.kind == ErrorKind::kInvalid
             ? "; tried again with growing pauses of up to five minutes while it says the same"
             : kAgain;
}

bool StatusWritten(const Context& context, StatusWriter& writer, const api::ObjectMeta& meta,
                   const std::optional<Error>& error) {
  writer.in_flight = false;
  if (!error) {
    writer.written = writer.sent;
    writer.refused.reset();
    return false;
  }
  if (!writer.refused) writer.refused.emplace();
  if (error->kind == ErrorKind::kInvalid) {
    Backoff same{{}, writer.refused->failures};
    same.Fail(context.now, meta.uid, error->message, kInvalidStatus);
    writer.refused->same_not_before = same.not_before;
  } else {
    writer.refused->same_not_before = Time{};
  }
  // A conflict: the newer object is on its way to us.
  const bool conflict = error->kind == ErrorKind::kConflict;
  const BackoffRange range{std::chrono::milliseconds(conflict ? 200 : 2'000), kRefused.last};
  return writer.refused->Fail(context.now, meta.uid, error->message, range) && !conflict;
}

}  // namespace spillway::core
