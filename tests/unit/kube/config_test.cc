#include "operator/kube/config.h"

#include <gtest/gtest.h>

namespace spillway::kube {
namespace {

std::string Kubeconfig(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
         "clusters: [{name: k, cluster: {" +
         cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n";
}

TEST(KubeconfigTest, ReadsServerAuthorityAndToken) {
  const auto config = ParseKubeconfig(
      Kubeconfig("server: 'https://h:1', certificate-authority-data: aGVsbG8=", "token: secret"),
      "f");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://h:1");
  EXPECT_EQ(config->ca, "hello");
  EXPECT_EQ(config->token, "secret");
}

struct BadCase {
  const char* name;
  std::string yaml;
  const char* message;
};
class BadKubeconfigTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadKubeconfigTest, SaysWhatIsWrong) {
  const auto config = ParseKubeconfig(GetParam().yaml, "file");
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().message.find(GetParam().message), std::string::npos)
      << config.error().message;
  EXPECT_EQ(config.error().message.find("secret"), std::string::npos) << "no secret in an error";
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadKubeconfigTest,
    testing::Values(
        BadCase{"not_yaml", "a: [", "not valid YAML"}, BadCase{"a_list", "[]", "not a kubeconfig"},
        BadCase{"no_context", "clusters: []", "current-context is not set"},
        BadCase{"unknown_context", "current-context: x\ncontexts: []", "no context named x"},
        BadCase{"plain_http", Kubeconfig("server: 'http://h'", "token: secret"),
                "must begin with https"},
        BadCase{"insecure",
                Kubeconfig("server: 'https://h', insecure-skip-tls-verify: true", "token: secret"),
                "not supported"},
        BadCase{"exec", Kubeconfig("server: 'https://h'", "exec: {command: x}"),
                "exec are not supported"},
        BadCase{"half_a_pair",
                Kubeconfig("server: 'https://h'", "client-certificate-data: aGVsbG8="),
                "given together"},
        BadCase{
            "bad_base64",
            Kubeconfig("server: 'https://h', certificate-authority-data: '%%%%'", "token: secret"),
            "base64"},
        BadCase{"missing_file",
                Kubeconfig("server: 'https://h', certificate-authority: /none", "token: secret"),
                "cannot read /none"}),
    [](const auto& info) { return info.param.name; });

TEST(KubeconfigTest, AMissingFileIsNamed) {
  const auto config = LoadKubeconfig("/does/not/exist");
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().message.find("/does/not/exist"), std::string::npos);
}

}  // namespace
}  // namespace spillway::kube
