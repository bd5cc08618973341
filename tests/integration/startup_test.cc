#include <signal.h>

#include <cstdio>
#include <fstream>

#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

TEST(StartupTest, ABadKubeconfigIsOneErrorAndAnExit) {
  Operator broken({}, WriteFile("broken", "a: ["));
  EXPECT_EQ(broken.Wait(), 1);
  EXPECT_EQ(Count(broken.log(), "\"level\":\"error\""), 1u) << broken.log();
  EXPECT_NE(broken.log().find("not valid YAML"), std::string::npos);
  Operator missing({}, "/does/not/exist");
  EXPECT_EQ(missing.Wait(), 1);
  EXPECT_NE(missing.log().find("cannot read /does/not/exist"), std::string::npos);
}

TEST(StartupTest, AnUnreachableApiServerIsOneErrorAndARetry) {
  const std::string good = ReadAll(Env("SPILLWAY_TEST_OPERATOR"));
  const std::string server = good.substr(
      good.find("https://127.0.0.1:"),
      good.find("\"", good.find("https://127.0.0.1:")) - good.find("https://127.0.0.1:"));
  Operator lost({}, WriteFile("unreachable", Replaced(good, server, "https://127.0.0.1:1")));
  ASSERT_TRUE(Eventually(
      [&] { return lost.log().find("cannot reach https://127.0.0.1:1") != std::string::npos; }));
  std::this_thread::sleep_for(std::chrono::seconds(2));
  EXPECT_TRUE(lost.Running());
  EXPECT_EQ(Count(lost.log(), "\"level\":\"error\""), 1u) << lost.log();
  lost.Kill(SIGTERM);
  EXPECT_EQ(lost.Wait(), 0);
}

TEST(StartupTest, AWrongAuthorityIsRefused) {
  std::string config = ReadAll(Env("SPILLWAY_TEST_OPERATOR"));
  const size_t begin = config.find("certificate-authority-data: \"") + 29,
               end = config.find('"', begin);
  // Some other certificate: the test framework makes one with openssl.
  const std::string pem = testing::TempDir() + "/other.crt";
  ASSERT_EQ(std::system(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                         "-days 1 -subj /CN=other -keyout /dev/null -out " +
                         pem + " 2>/dev/null")
                            .c_str()),
            0);
  ASSERT_EQ(std::system(("base64 -w0 <" + pem + " >" + pem + ".b64").c_str()), 0);
  config.replace(begin, end - begin, ReadAll(pem + ".b64"));
  Operator wary({}, WriteFile("wrong-ca", config));
  ASSERT_TRUE(Eventually([&] {
    return wary.log().find("must be signed by the kubeconfig's certificate-authority") !=
           std::string::npos;
  })) << wary.log();
}

TEST(StartupTest, RefusedCredentialsAreOneErrorAndAnExit) {
  const std::string good = ReadAll(Env("SPILLWAY_TEST_OPERATOR"));
  const size_t begin = good.find("token: \"") + 8, end = good.find('"', begin);
  std::string config = good;
  config.replace(begin, end - begin, "wrong-token-value");
  Operator stranger({}, WriteFile("stranger", config));
  EXPECT_EQ(stranger.Wait(), 1);
  EXPECT_EQ(stranger.log().find("wrong-token-value"), std::string::npos) << "no secret in a log";
}

TEST(StartupTest, AMissingCrdIsNamedAndWaitedFor) {
  Cluster cluster;
  const std::string path =
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/serverpools.spillway.dev";
  Json crd = cluster.Get(path);
  cluster.Delete(path);
  ASSERT_TRUE(
      Eventually([&] { return cluster.Get("/apis/spillway.dev/v1alpha1/serverpools").is_null(); }));
  {
    Operator waiting;
    EXPECT_TRUE(Eventually([&] {
      return waiting.log().find("install the CRDs: kubectl apply -f crds/") != std::string::npos;
    })) << waiting.log();
    EXPECT_EQ(Count(waiting.log(), "install the CRDs"), 1u);
    ASSERT_EQ(cluster.Kubectl("apply -f " + Env("SPILLWAY_TEST_CRDS")).first, 0);
    waiting.WaitUntilReady();
  }
}

TEST(StartupTest, EndsCleanlyOnSigterm) {
  Operator spillway({"--leader-elect", "--leader-election-id", "ends-cleanly"});
  spillway.WaitUntilReady();
  spillway.Kill(SIGTERM);
  EXPECT_EQ(spillway.Wait(), 0) << spillway.log();
  const Json lease =
      Cluster().Get("/apis/coordination.k8s.io/v1/namespaces/spillway-system/leases/ends-cleanly");
  EXPECT_EQ(At(lease, "spec.holderIdentity"), "") << "the next leader need not wait";
}

}  // namespace
}  // namespace spillway::test
