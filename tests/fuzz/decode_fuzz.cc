// Objects of every kind, as the API server may send them, leases of a cloud service, and pods and
// Events by which an autoscaler is asked: the first byte is the kind, the rest the object. What was
// decoded is taken up by a core, together with its status as it would be written.
#include "operator/cloud/karpenter.h"
#include "operator/cloud/lease.h"
#include "operator/cloud/placeholder.h"
#include "operator/core/core.h"
#include "operator/runtime/decode.h"

using namespace spillway;

namespace {

constexpr char kService[] = "service";

Result<core::Object> Decode(core::Kind kind, const api::Json& object) {
  if (kind != core::Kind::kCloudServer) return runtime::Decode(kind, object);
  if (auto lease = cloud::DecodeLease(object)) {
    lease->server.engine = kService;
    return core::Object(std::move(lease->server));
  }
  auto server = cloud::DecodeNodeClaim(object);
  if (!server) return server.error();
  server->engine = cloud::kKarpenter;
  return core::Object(std::move(*server));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto kind = static_cast<core::Kind>(data[0] % core::kKinds);
  const api::Json object = api::Json::parse(data + 1, data + size, nullptr, false);
  if (!object.is_object()) return 0;
  static_cast<void>(cloud::DecodeLeases(object, "c"));
  static_cast<void>(cloud::ReadError({409, std::string(data + 1, data + size), {}}));
  static_cast<void>(cloud::DecodeAddress(object));
  if (const auto pod = cloud::DecodeOwnPod(object))
    static_cast<void>(cloud::KeeperBody(*pod, pod->node_name, pod->provider_id));
  static_cast<void>(cloud::LastVerdict(api::Json::array({object}), "", "", {"a"}));
  static_cast<void>(cloud::ReadEvent(object));
  const auto decoded = Decode(kind, object);
  if (!decoded) return 0;
  std::vector<core::Event> events{core::Seen{*decoded}};
  for (size_t i = 0; i < core::kKinds; ++i)
    events.push_back(core::Listed{static_cast<core::Kind>(i), 0, {}, cloud::kKarpenter});
  api::EngineTraits service{kService, true};
  service.external = service.bare_nodes = true;
  core::Core core({{cloud::kKarpenter}, service});
  const Time now = Time{} + std::chrono::seconds(1'800'000'000);
  for (const core::Effect& effect : core.Step(events, now).effects) {
    if (const auto* write = std::get_if<core::Write>(&effect))
      static_cast<void>(write->body.dump(-1, ' ', false, api::Json::error_handler_t::replace));
  }
  core.Step({}, now + std::chrono::seconds(10));
  return 0;
}
