#include "operator/runtime/send_write.h"

#include <utility>

#include "operator/runtime/answers.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/pod_body.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;

kube::Request RequestOf(const core::Write& write) {
  const kube::Resource& resource = ResourceOf(write.kind);
  switch (write.verb) {
    case Verb::kCreate:
      return kube::CreateRequest(resource, write.ns, Body(write));
    case Verb::kPatchStatus:
      return kube::StatusRequest(resource, write.ns, write.name, write.uid, write.resource_version,
                                 write.body);
    case Verb::kPatch:
      return kube::PatchRequest(resource, write.ns, write.name, write.uid, write.resource_version,
                                write.body);
    case Verb::kDelete:
      break;
  }
  return kube::DeleteRequest(resource, write.ns, write.name, write.uid, write.grace);
}

std::optional<core::Object> ObjectIn(const api::Json& answer, const core::Write& write) {
  if (write.verb == Verb::kDelete) {
    // How it was then: a watch that is cut does not tell of what has ended since.
    auto pod = write.kind == Kind::kPod ? api::DecodePod(answer) : Result<api::Pod>(Error{});
    const bool it = pod && pod->meta.uid == write.uid && pod->meta.name == write.name;
    return it ? std::optional<core::Object>(std::move(*pod)) : std::nullopt;
  }
  if (write.verb == Verb::kCreate && write.kind == Kind::kPod) {
    auto pod = api::DecodeCreatedPod(answer);
    return pod ? std::optional<core::Object>(std::move(*pod)) : std::nullopt;
  }
  auto object = Decode(write.kind, answer);
  return object ? std::optional(std::move(*object)) : std::nullopt;
}

}  // namespace

core::Outcome SendWrite(const core::Write& write, kube::Transport& transport,
                        std::stop_token stop) {
  core::Outcome outcome = OutcomeOf(write);
  auto answer = kube::Call(transport, RequestOf(write), stop);
  if (!answer) {
    outcome.error = answer.error();
    if (write.verb != Verb::kCreate || outcome.error->kind != ErrorKind::kAlreadyExists)
      return outcome;
    // What happens next depends on whose object was there first.
    answer = kube::Call(transport, kube::GetRequest(ResourceOf(write.kind), write.ns, write.name),
                        std::move(stop));
    if (!answer) {
      // It was there, and is gone, so that the creation may succeed now; or nobody knows whose it
      // is.
      const bool gone = answer.error().kind == ErrorKind::kNotFound;
      outcome.error = Error{ErrorKind::kUnavailable, answer.error().message, std::nullopt, !gone};
      return outcome;
    }
  }
  outcome.object = ObjectIn(*answer, write);
  return outcome;
}

}  // namespace spillway::runtime
