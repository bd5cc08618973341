#include "operator/runtime/event_body.h"

#include "operator/base/foreign_text.h"

namespace spillway::runtime {
namespace {

// A name is at most 253 bytes, and none of its labels ends with a hyphen.
std::string Prefix(const std::string& name) {
  std::string out = name.substr(0, 200);  // ASCII
  while (!out.empty() && (out.back() == '.' || out.back() == '-')) out.pop_back();
  return out;
}

}  // namespace

std::string NamespaceOf(const core::Note& note) { return note.ns.empty() ? "default" : note.ns; }

api::Json EventBody(const core::Note& note, const std::string& identity, Time now,
                    uint64_t number) {
  // The name must be new.
  const std::string name = Prefix(note.name) + "." +
                           std::to_string(now.time_since_epoch().count()) + "-" +
                           std::to_string(number);
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"name", name}, {"namespace", NamespaceOf(note)}}},
          {"involvedObject",
           {{"apiVersion", api::kGroupVersion},
            {"kind", core::ToString(note.kind)},
            {"namespace", note.ns},
            {"name", note.name},
            {"uid", note.uid}}},
          {"type", note.warning ? "Warning" : "Normal"},
          {"reason", OneLine(note.reason, kMostReason)},
          {"message", Bounded(note.message, kMostEventMessage)},
          {"count", 1},
          {"firstTimestamp", FormatTime(now)},
          {"lastTimestamp", FormatTime(now)},
          {"source", {{"component", "spillway"}}},
          {"reportingComponent", "spillway.dev/spillway"},
          {"reportingInstance", Bounded(identity, kMostReason)}};
}

}  // namespace spillway::runtime
