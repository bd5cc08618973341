#include "tests/bench/bought.h"

#include <fstream>
#include <iterator>
#include <set>
#include <utility>

namespace spillway::bench {
namespace {

// How often a cloud service, which nobody can watch, is asked what it has.
constexpr std::chrono::milliseconds kAskEvery{20};

const kube::Resource kScales{"spillway.dev", "v1alpha1", "scalerequests"};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// "spw-<uid of the task>-<number>"; empty for another name.
std::string NeedIn(const std::string& scale) {
  return scale.starts_with("spw-") ? scale.substr(4, scale.rfind('-') - 4) : "";
}

// Its owner is the ScaleRequest.
std::string NeedOf(const Json& object) {
  for (const Json& owner : object["metadata"].value("ownerReferences", Json::array())) {
    if (owner.value("kind", "") == "ScaleRequest") return NeedIn(owner.value("name", ""));
  }
  return "";
}

class Objects : public Purchases {
 public:
  Objects(kube::Transport& server, const kube::Resource& resource)
      : observer_(server, resource, "", NeedOf) {}
  Times seen() override { return observer_.seen(); }

 private:
  Observer observer_;
};

// By the uid of its ScaleRequest, which is watched for whose it is.
class Leases : public Purchases {
 public:
  Leases(kube::Transport& server, const Bought& bought, std::unique_ptr<kube::Transport> service)
      : scales_(server, kScales, "",
                [this](const Json& scale) {
                  const std::lock_guard lock(mutex_);
                  needs_[scale["metadata"].value("uid", "")] =
                      NeedIn(scale["metadata"].value("name", ""));
                  return "";
                }),
        service_(std::move(service)),
        thread_([this, path = bought.path](std::stop_token stop) {
          for (; !stop.stop_requested(); kube::SleepFor(kAskEvery, stop)) Look(path, stop);
        }) {}
  Times seen() override {
    const std::lock_guard lock(mutex_);
    Times out;
    for (const auto& [id, at] : seen_) {
      if (const auto need = needs_.find(id); need != needs_.end()) out.emplace(need->second, at);
    }
    return out;
  }

 private:
  void Look(const std::string& path, std::stop_token stop) {
    const auto said = service_->Send({"GET", path, "", ""}, std::move(stop));
    const auto now = Clock::now();
    const Json body = said ? Json::parse(said->body, nullptr, false) : Json();
    if (!body.is_object() || !body.contains("items")) return;
    const std::lock_guard lock(mutex_);
    for (const Json& lease : body["items"]) seen_.emplace(lease.value("id", ""), now);
  }

  std::mutex mutex_;
  std::map<std::string, std::string> needs_;  // guarded by mutex_, as is the next
  Times seen_;
  Observer scales_;
  std::unique_ptr<kube::Transport> service_;
  std::jthread thread_;
};

}  // namespace

Result<Bought> BoughtOf(const std::string& engine, const std::string& url,
                        const std::string& files) {
  if (engine == "karpenter") return Bought{"NodeClaim", kClaims, {}, ""};
  if (engine == "cluster-api")
    return Bought{"MachineSet", {"cluster.x-k8s.io", "v1beta2", "machinesets"}, {}, ""};
  if (engine == "pending-pod") return Bought{"placeholder pod", kube::kPods, {}, ""};
  if (engine != "rest")
    return Invalid("burst knows karpenter, cluster-api, pending-pod and rest, not " + engine);
  Bought out{"lease", kScales, {}, ""};
  const size_t path = url.find("/v1/");
  out.service.server = url.substr(0, path);
  out.path = path == std::string::npos ? "" : url.substr(path);
  out.service.ca = ReadFile(files + "/tls.crt");
  out.service.token = ReadFile(files + "/tokens");
  while (out.service.token.ends_with('\n')) out.service.token.pop_back();
  return out;
}

std::unique_ptr<Purchases> Watched(kube::Transport& server, const Bought& bought) {
  if (bought.path.empty()) return std::make_unique<Objects>(server, bought.resource);
  auto service = kube::MakeTransport(bought.service);
  if (!service) return nullptr;
  return std::make_unique<Leases>(server, bought, std::move(*service));
}

}  // namespace spillway::bench
