#include "tests/simulation/web_api.h"

#include <gtest/gtest.h>

#include "operator/base/json.h"
#include "operator/kube/request.h"

namespace spillway::simulation {
namespace {

using api::Json;

Json Pod() {
  return ParseJson(R"({
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "p", "namespace": "ns", "labels": {"example.com/of": "x"},
                 "annotations": {"example.com/a": "b"}},
    "spec": {"nodeSelector": {"disk": "ssd"},
             "tolerations": [{"key": "reserved", "operator": "Exists"}],
             "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}},
                            {"name": "beside-it"}]}})");
}

class WebApiTest : public testing::Test {
 protected:
  WebApiTest() { api.now = Time{} + std::chrono::seconds(1'800'000'000); }
  Json Create() {
    return ParseJson(web.Handle(kube::CreateRequest(kube::kPods, "ns", Pod())).body);
  }
  Json Get() { return ParseJson(web.Handle(kube::GetRequest(kube::kPods, "ns", "p")).body); }

  ApiServer api;
  WebApi web{api};
};

TEST_F(WebApiTest, APodIsReadAsItWasSent) {
  const Json made = Create();
  EXPECT_EQ(made["spec"], Pod()["spec"]);
  for (const char* part : {"labels", "annotations"})
    EXPECT_EQ(made["metadata"][part], Pod()["metadata"][part]);
  EXPECT_EQ(Get(), made);
  const Json list = ParseJson(web.Handle(kube::ListRequest(kube::kPods, "ns", 10, "")).body);
  ASSERT_EQ(list["items"].size(), 1u);
  EXPECT_EQ(list["items"][0], made);
}

TEST_F(WebApiTest, AWatchTellsOfThePodAsItWasSentWhenItIsGone) {
  Create();
  std::optional<OpenWatch> watch;
  (void)web.Open(kube::WatchRequest(kube::kPods, "ns", std::to_string(api.version()), 30), watch);
  api.Remove(Kind::kPod, "ns/p");
  ASSERT_TRUE(watch);
  const Json event = ParseJson(web.Read(watch, 1));
  EXPECT_EQ(event["type"], "DELETED");
  EXPECT_EQ(event["object"]["spec"], Pod()["spec"]);
}

TEST_F(WebApiTest, AWatchWhoseNextEventIsForgottenWhileItStillListsIsExpired) {
  const auto change = [&] {
    api::PriorityClass object;
    object.meta.name = "class";
    api.Put(object);
  };
  change();
  std::optional<OpenWatch> watch;
  web.Open(kube::StreamingListRequest(kube::kPriorityClasses, "", 60), watch);
  ASSERT_TRUE(watch);
  change();
  api.Compact(0);
  const std::string lines = web.Read(watch, 100);
  EXPECT_NE(lines.find("ADDED"), std::string::npos) << lines;
  EXPECT_NE(lines.find("410"), std::string::npos) << lines;
  EXPECT_EQ(lines.find("MODIFIED"), std::string::npos) << lines;
}

TEST_F(WebApiTest, AdmissionChangesWhatIsSent) {
  api.admission["ns"] = {true, 300};
  const Json made = Create();
  EXPECT_FALSE(made["metadata"].contains("labels"));
  EXPECT_EQ(made["spec"]["containers"][0]["resources"]["requests"]["cpu"], "1300m");
  EXPECT_EQ(api.Get<api::Pod>("ns/p")->requests.cpu_milli, 1'300);
}

}  // namespace
}  // namespace spillway::simulation
