#include "operator/kube/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace spillway::kube {
namespace {

std::string Kubeconfig(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
         "clusters: [{name: k, cluster: {" +
         cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n";
}

Result<Config> Parse(const std::string& yaml) { return ParseKubeconfig({{"file", yaml}}); }

TEST(KubeconfigTest, ReadsServerAuthorityAndToken) {
  const auto config = Parse(
      Kubeconfig("server: 'https://h:1', certificate-authority-data: aGVsbG8=", "token: secret"));
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
  const auto config = Parse(GetParam().yaml);
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
        BadCase{"unknown_context", "current-context: x\ncontexts: []", "no context named \"x\""},
        BadCase{"plain_http", Kubeconfig("server: 'http://h'", "token: secret"),
                "must begin with https"},
        BadCase{"insecure",
                Kubeconfig("server: 'https://h', insecure-skip-tls-verify: true", "token: secret"),
                "not supported"},
        BadCase{"exec", Kubeconfig("server: 'https://h'", "exec: {command: x}"),
                "exec are not supported"},
        BadCase{"auth_provider", Kubeconfig("server: 'https://h'", "auth-provider: {name: oidc}"),
                "auth-provider are not supported"},
        BadCase{"password", Kubeconfig("server: 'https://h'", "username: me, password: secret"),
                "username are not supported"},
        BadCase{"socks",
                Kubeconfig("server: 'https://h', proxy-url: 'socks5://h:1'", "token: secret"),
                "only proxies by http://"},
        BadCase{"proxy_to_ipv6",
                Kubeconfig("server: 'https://[::1]:1', proxy-url: 'http://h:1'", "token: secret"),
                "give the server by its name"},
        BadCase{"groups_of_nobody", Kubeconfig("server: 'https://h'", "as-groups: [a]"),
                "need the user in as"},
        BadCase{"header_in_a_group",
                Kubeconfig("server: 'https://h'", "as: me, as-groups: [\"a\\r\\nX: y\"]"),
                "must be one line each"},
        BadCase{"missing_token_file", Kubeconfig("server: 'https://h'", "tokenFile: /none"),
                "cannot read /none"},
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

TEST(KubeconfigTest, ReadsWhomToActAsAndHowToGetThere) {
  const auto config = Parse(Kubeconfig(
      "server: 'https://h:1', tls-server-name: api, proxy-url: 'http://p:2'",
      "token: secret, as: jane, as-uid: '7', as-groups: [a, b], as-user-extra: {k: [x, y]}"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->tls_server_name, "api");
  EXPECT_EQ(config->proxy_url, "http://p:2");
  EXPECT_EQ(config->impersonate.user, "jane");
  EXPECT_EQ(config->impersonate.uid, "7");
  EXPECT_EQ(config->impersonate.groups, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config->impersonate.extra.at("k"), (std::vector<std::string>{"x", "y"}));
}

// Of several files the first that names something counts.
TEST(KubeconfigTest, SeveralFilesAreMergedAsKubectlDoes) {
  const auto config = ParseKubeconfig(
      {{"first",
        "clusters: [{name: k, cluster: {server: 'https://first'}}]\n"
        "users: [{name: other, user: {token: no}}]\n"},
       {"second",
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://second'}}]\n"},
       {"third",
        "current-context: d\nusers: [{name: u, user: {token: yes-it-is}}]\n"
        "contexts: [{name: c, context: {cluster: none, user: none}}]\n"}});
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://first");
  EXPECT_EQ(config->token, "yes-it-is");
}

class KubeconfigFilesTest : public testing::Test {
 protected:
  KubeconfigFilesTest() { std::filesystem::create_directory(folder); }
  ~KubeconfigFilesTest() override { std::filesystem::remove_all(folder); }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return folder / name;
  }

  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("kubeconfigs" + std::to_string(getpid()));
};

TEST_F(KubeconfigFilesTest, FilesOfAListThatDoNotExistAreLeftOut) {
  const std::string file = Write("config", Kubeconfig("server: 'https://h'", "token: secret"));
  EXPECT_TRUE(LoadKubeconfigs("/none:" + file + "::/none/either").ok());
  EXPECT_FALSE(LoadKubeconfigs("/none:/none/either").ok());
}

TEST_F(KubeconfigFilesTest, WhatAFileNamesIsRelativeToItAndReadAgain) {
  Write("ca.pem", "one");
  Write("token", "old\n");
  const std::string file =
      Write("config",
            Kubeconfig("server: 'https://h', certificate-authority: ca.pem", "tokenFile: token"));
  auto config = LoadKubeconfig(file);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->ca, "one");
  EXPECT_EQ(config->token, "old");
  EXPECT_FALSE(Reread(*config));
  Write("token", "new\n");
  EXPECT_FALSE(Reread(*config)) << "nothing about TLS";
  EXPECT_EQ(config->token, "new");
  Write("ca.pem", "two");
  EXPECT_TRUE(Reread(*config));
  EXPECT_EQ(config->ca, "two");
  std::filesystem::remove(folder / "ca.pem");
  EXPECT_FALSE(Reread(*config));
  EXPECT_EQ(config->ca, "two");
}

}  // namespace
}  // namespace spillway::kube
