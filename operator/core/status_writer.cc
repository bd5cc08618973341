#include "operator/core/status_writer.h"

#include <functional>
#include <string>
#include <utility>
#include <variant>

#include "operator/base/json.h"
#include "operator/core/deletion.h"

namespace spillway::core {
namespace {

size_t StatusIn(const Object& object) {
  return std::visit(
      [](const auto& each) {
        if constexpr (requires { EncodeStatus(each.status); }) {
          return Fingerprint(EncodeStatus(each.status));
        } else {
          return size_t{0};
        }
      },
      object);
}

// The answer tells what of our patch is stored: what is known is that, or came after it.
bool Stands(const StatusWriter& writer, const api::ObjectMeta& known,
            const std::optional<Object>& answer) {
  return !answer || VersionOf(*answer) >= known.resource_version ||
         StatusIn(*answer) == writer.stored;
}

void WriteAgainLater(const Context& context, StatusWriter& writer, const api::ObjectMeta& meta) {
  if (!writer.over) writer.over.emplace();
  // Nobody has done so for long.
  if (context.now >= writer.over->not_before + 2 * kWrittenOver.last) writer.over->Succeed();
  writer.over->Fail(context.now, meta.uid, "", kWrittenOver);
}

}  // namespace

size_t Fingerprint(const api::Json& status) { return std::hash<std::string>{}(Dump(status)); }

void TakeStatus(StatusWriter& writer, const api::Json& status) {
  writer.written = writer.stored = Fingerprint(status);
  if (!writer.in_flight) writer.sent = writer.ours = writer.written;
}

bool WrittenOver(const Context& context, StatusWriter& writer, const api::ObjectMeta& meta,
                 const api::Json& status) {
  const size_t fingerprint = Fingerprint(status);
  if (fingerprint == writer.stored) return false;
  writer.written = writer.stored = fingerprint;
  if (writer.in_flight) return false;
  // A patch of ours has arrived of which nobody knew.
  if (fingerprint == writer.sent) {
    writer.ours = fingerprint;
    return false;
  }
  WriteAgainLater(context, writer, meta);
  return true;
}

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
                   const Outcome& outcome) {
  writer.in_flight = false;
  const auto& error = outcome.error;
  if (!error) {
    writer.refused.reset();
    writer.ours = writer.sent;
    if (Stands(writer, meta, outcome.object)) {
      writer.written = writer.sent;
    } else {
      WriteAgainLater(context, writer, meta);
    }
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
