#include "operator/cloud/objects.h"

namespace spillway::cloud {

using api::Json;

Json OwnedBy(const std::string& request_name, const std::string& request_uid) {
  return Json::array({{{"apiVersion", api::kGroupVersion},
                       {"kind", "ScaleRequest"},
                       {"name", request_name},
                       {"uid", request_uid},
                       {"controller", true}}});
}

Result<Json> CreateOrGet(kube::Transport& transport, const kube::Resource& resource,
                         const std::string& ns, const Json& body, std::stop_token stop) {
  auto made = kube::Call(transport, kube::CreateRequest(resource, ns, body), stop);
  if (made || made.error().kind != ErrorKind::kAlreadyExists) return made;
  const std::string name = api::GetString(api::GetObject(body, "metadata"), "name");
  auto there = kube::Call(transport, kube::GetRequest(resource, ns, name), stop);
  if (!there && there.error().kind == ErrorKind::kNotFound)
    return Error{ErrorKind::kUnavailable, there.error().message, {}};
  return there;
}

Result<Unit> DeleteObject(kube::Transport& transport, const kube::Resource& resource,
                          const api::CloudServer& server, std::stop_token stop) {
  const auto gone = kube::Call(
      transport, kube::DeleteRequest(resource, server.ns, server.name, server.uid, std::nullopt),
      stop);
  if (gone || gone.error().kind == ErrorKind::kNotFound) return Unit{};
  if (gone.error().kind != ErrorKind::kConflict) return gone.error();
  // Under the name there may be another one by now.
  const auto there =
      kube::Call(transport, kube::GetRequest(resource, server.ns, server.name), stop);
  if (!there && there.error().kind == ErrorKind::kNotFound) return Unit{};
  if (there && api::DecodeMeta(*there).uid != server.uid) return Unit{};
  return gone.error();
}

Result<Ensured> TakeBack(kube::Transport& transport, const kube::Resource& resource,
                         const Json& object, const std::string& kind, const std::string& marks,
                         std::stop_token stop) {
  const api::ObjectMeta meta = api::DecodeMeta(object);
  const std::string what = kind + " " + meta.key();
  api::CloudServer server;
  server.ns = meta.ns;
  server.name = meta.name;
  server.uid = meta.uid;
  if (const auto gone = DeleteObject(transport, resource, server, std::move(stop)); !gone) {
    Error error = gone.error();
    error.message =
        what + " lacks Spillway's " + marks + " and could not be deleted: " + error.message;
    if (!error.retryable()) error.kind = ErrorKind::kUnavailable;
    return error;
  }
  return Ensured(Refusal{api::CloudError::kInvalidRequest,
                         what + " was admitted without Spillway's " + marks +
                             ", so that it was deleted again; exempt it from the policy or webhook "
                             "that changes this"});
}

}  // namespace spillway::cloud
