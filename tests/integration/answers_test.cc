// The simulator's model of the API server, held to the real one: one script asks both, and what
// they answer is the same.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "operator/base/json.h"
#include "operator/kube/config.h"
#include "tests/integration/cluster.h"
#include "tests/simulation/web_api.h"

namespace spillway::test {
namespace {

using kube::Request;
using kube::Response;

const kube::Resource kScaleRequests{api::kGroup, "v1alpha1", "scalerequests"};

// Whom the script asks.
class Asked {
 public:
  virtual ~Asked() = default;
  virtual Response Ask(const Request& request) = 0;
  // The first lines of a watch, so many, or fewer where it ends.
  virtual std::vector<std::string> Lines(const Request& request, size_t count) = 0;
  virtual void Forget() {}
};

class Real : public Asked {
 public:
  Real() {
    const auto config = kube::LoadKubeconfig(Env("SPILLWAY_TEST_DIR") + "/kubeconfig");
    if (!config) std::abort();
    auto transport = kube::MakeTransport(*config);
    if (!transport) std::abort();
    transport_ = std::move(*transport);
  }
  Response Ask(const Request& request) override { return *transport_->Send(request, {}); }
  std::vector<std::string> Lines(const Request& request, size_t count) override {
    std::vector<std::string> lines;
    std::stop_source enough;
    const std::jthread patience([&](std::stop_token stop) {
      std::mutex mutex;
      std::condition_variable_any changed;
      std::unique_lock lock(mutex);
      if (!changed.wait_for(lock, stop, std::chrono::seconds(20), [&] { return false; }) &&
          !stop.stop_requested())
        enough.request_stop();
    });
    kube::LineSplitter splitter;
    (void)transport_->Stream(request, enough.get_token(), [&](std::string_view piece) {
      splitter.Feed(piece, [&](std::string_view line) { lines.emplace_back(line); });
      if (lines.size() >= count) enough.request_stop();
    });
    lines.resize(std::min(lines.size(), count));
    return lines;
  }

 private:
  std::unique_ptr<kube::Transport> transport_;
};

class Model : public Asked {
 public:
  Model() { api_.now = Time{} + std::chrono::seconds(1'800'000'000); }
  Response Ask(const Request& request) override { return web_.Handle(request); }
  std::vector<std::string> Lines(const Request& request, size_t count) override {
    std::vector<std::string> lines;
    std::optional<simulation::OpenWatch> watch;
    (void)web_.Open(request, watch);
    kube::LineSplitter splitter;
    while (watch && lines.size() < count && web_.HasNews(*watch)) {
      splitter.Feed(web_.Read(watch, 1), [&](std::string_view line) { lines.emplace_back(line); });
    }
    return lines;
  }
  void Forget() override { api_.Compact(0); }

 private:
  simulation::ApiServer api_;
  simulation::WebApi web_{api_};
};

// What is asked, and what was answered, in words that hold for both.
class Script {
 public:
  Script(Asked& asked, std::string ns) : asked_(asked), ns_(std::move(ns)) {}

  std::vector<std::string> Run() {
    Objects();
    Lists();
    Watches();
    return std::move(said_);
  }

 private:
  Json Ask(const std::string& what, const Request& request) {
    const Response response = asked_.Ask(request);
    Json body = ParseJson(response.body);
    std::string line = what + ": " + std::to_string(response.status);
    if (response.status >= 300) {
      line += " " + At(body, "status") + " " + At(body, "reason");
      const std::string name = At(body, "details.name");
      if (!name.empty()) line += name == Name() ? " of it" : " of " + name;
    }
    said_.push_back(line);
    return body;
  }
  void Say(const std::string& what, const std::string& value) {
    said_.push_back(what + ": " + value);
  }
  static std::string YesNo(bool value) { return value ? "yes" : "no"; }
  std::string Name() const { return ns_ + "-scale"; }
  static int64_t VersionOf(const Json& object) { return api::DecodeMeta(object).resource_version; }

  // The life of a ScaleRequest, as the operator writes it.
  void Objects() {
    const Request get = kube::GetRequest(kScaleRequests, "", Name());
    Ask("get what is not there", get);
    api::ScaleRequest scale;
    scale.meta.name = Name();
    scale.pool = "none";
    scale.for_tasks = {{"ns", "task", "uid"}};
    const Request create = kube::CreateRequest(kScaleRequests, "", api::EncodeNew(scale));
    const Json made = Ask("create", create);
    const std::string uid = At(made, "metadata.uid");
    Say("it has a uid", YesNo(!uid.empty()));
    Say("and what was sent", At(made, "spec.poolName") + At(made, "metadata.generation"));
    Ask("create it again", create);
    Json status{{"phase", "Requested"}, {"observedGeneration", 1}};
    const auto write = [&](const std::string& of, int64_t version) {
      return kube::StatusRequest(kScaleRequests, "", Name(), of, version, status);
    };
    // The version alone counts, which no two objects have.
    const Json first = Ask("status of another uid", write("another", VersionOf(made)));
    status["phase"] = "Provisioning";
    const Json written = Ask("status", write(uid, VersionOf(first)));
    Say("it is newer", YesNo(VersionOf(written) > VersionOf(made)));
    Say("it has the status, and its generation",
        At(written, "status.phase") + " " + At(written, "metadata.generation"));
    Ask("status of an older version", write(uid, VersionOf(made)));
    Say("get", At(Ask("get", get), "status.phase"));
    Ask("delete another uid", kube::DeleteRequest(kScaleRequests, "", Name(), "another", {}));
    const Request remove = kube::DeleteRequest(kScaleRequests, "", Name(), uid, {});
    Ask("delete", remove);
    Ask("delete it again", remove);
    Ask("status of what is gone", write(uid, VersionOf(written)));
    Ask("get a resource that does not exist",
        {"GET", "/apis/spillway.dev/v1alpha1/nothings", "", ""});
  }

  Json CreatePod(const std::string& name) {
    const Json pod{{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", {{"name", name}, {"namespace", ns_}}},
                   {"spec",
                    {{"schedulerName", "nobody"},
                     {"terminationGracePeriodSeconds", 0},
                     {"nodeSelector", {{"disk", "ssd"}}},
                     {"affinity", Affinity()},
                     {"tolerations", {{{"key", "reserved"}, {"operator", "Exists"}}}},
                     {"containers", {{{"name", "c"}, {"image", "x"}}}}}}};
    return Ask("create pod " + name, kube::CreateRequest(kube::kPods, ns_, pod));
  }
  static Json Affinity() {
    const Json zone{{"key", "zone"}, {"operator", "In"}, {"values", {"a", "b"}}};
    const Json term{{"matchExpressions", Json::array({zone})}};
    return {{"nodeAffinity",
             {{"requiredDuringSchedulingIgnoredDuringExecution",
               {{"nodeSelectorTerms", Json::array({term})}}}}}};
  }
  // Whether it still has what decides where it may run.
  void SayPlaces(const std::string& what, const Json& pod) {
    const Json& spec = api::GetObject(pod, "spec");
    const auto tolerations = api::DecodeTolerations(spec);
    const bool tolerates = std::any_of(tolerations.begin(), tolerations.end(),
                                       [](const auto& each) { return each.key == "reserved"; });
    Say(what, At(spec, "nodeSelector.disk") + ", affinity " +
                  YesNo(api::GetObject(spec, "affinity") == Affinity()) + ", toleration " +
                  YesNo(tolerates));
  }
  void DeletePod(const std::string& name, const std::string& uid) {
    Ask("delete pod " + name, kube::DeleteRequest(kube::kPods, ns_, name, uid, 0));
  }

  // In pages, which are of one moment.
  void Lists() {
    for (const char* name : {"a", "b", "c"}) SayPlaces("created", CreatePod(name));
    SayPlaces("read", Ask("get pod", kube::GetRequest(kube::kPods, ns_, "a")));
    std::string next;
    int64_t version = 0;
    for (int page = 0; page < 3; ++page) {
      const Json list = Ask("list", kube::ListRequest(kube::kPods, ns_, 1, next));
      for (const Json& item : api::GetArray(list, "items")) Say("item", At(item, "metadata.name"));
      Say("and more", At(list, "metadata.remainingItemCount"));
      if (page == 0) CreatePod("d");
      if (page > 0) Say("of the same moment", YesNo(version == VersionOf(list)));
      version = VersionOf(list);
      next = At(list, "metadata.continue");
    }
    Say("the last page names no next one", YesNo(next.empty()));
  }

  void SayLines(const std::string& what, const Request& request, size_t count) {
    int64_t last = -1;
    for (const std::string& line : asked_.Lines(request, count)) {
      const Json event = ParseJson(line), &object = event["object"];
      const Json& annotations = api::GetObject(object["metadata"], "annotations");
      const int64_t version = VersionOf(object);
      std::string said = At(event, "type") + " " + At(object, "metadata.name");
      if (!At(object, "code").empty()) said += At(object, "code") + " " + At(object, "reason");
      if (annotations.contains(kube::kInitialEventsEnd)) said += "the list is complete";
      // A bookmark is of the moment; what else was written by then has made it newer, or has not.
      const bool bookmark = At(event, "type") == "BOOKMARK";
      if (bookmark ? version < last : version <= last) said += " (not newer)";
      said_.push_back(what + ": " + said);
      last = version;
    }
  }

  void Watches() {
    const Json list = Ask("list", kube::ListRequest(kube::kPods, ns_, 100, ""));
    SayLines("streamed list", kube::StreamingListRequest(kube::kPods, ns_, 30), 5);
    const auto watch = [&](int64_t version) {
      return kube::WatchRequest(kube::kPods, ns_, std::to_string(version), 30);
    };
    const Json made = CreatePod("e");
    DeletePod("e", At(made, "metadata.uid"));
    const Json after = CreatePod("f");
    SayLines("watch", watch(VersionOf(list)), 3);
    SayLines("watch, resumed", watch(VersionOf(made)), 2);
    DeletePod("f", At(after, "metadata.uid"));
    asked_.Forget();
    // What was before the kind itself is not kept.
    SayLines("watch of what was forgotten", kube::WatchRequest(kScaleRequests, "", "1", 30), 1);
    SayLines("watch from no version", watch(0), 4);
    Ask("a page that never was", kube::ListRequest(kube::kPods, ns_, 1, "never"));
  }

  Asked& asked_;
  const std::string ns_;
  std::vector<std::string> said_;
};

// Without an operator, which would write as well.
class AnswersTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {}
  static void TearDownTestSuite() {}
};

TEST_F(AnswersTest, TheModelAnswersAsTheApiServerDoes) {
  Real real;
  Model model;
  const auto said = Script(real, ns).Run(), modelled = Script(model, ns).Run();
  EXPECT_GT(said.size(), 50u);
  ASSERT_EQ(modelled.size(), said.size()) << testing::PrintToString(said) << "\nand the model:\n"
                                          << testing::PrintToString(modelled);
  for (size_t i = 0; i < said.size(); ++i) EXPECT_EQ(modelled[i], said[i]) << "answer " << i;
}

}  // namespace
}  // namespace spillway::test
