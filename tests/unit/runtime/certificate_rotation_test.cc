#include "operator/runtime/certificate_rotation.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace spillway::runtime {
namespace {

class CertificateRotationTest : public testing::Test {
 protected:
  CertificateRotationTest() {
    std::filesystem::create_directories(folder_);
    Write({"chain 1", "key 1"});
  }
  ~CertificateRotationTest() override { std::filesystem::remove_all(folder_); }

  void Write(const Certificate& certificate) const {
    std::ofstream(folder_ / "tls.crt") << certificate.chain;
    std::ofstream(folder_ / "tls.key") << certificate.key;
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("rotation" + std::to_string(getpid()));
  Certificate used_;
  std::string refuse_;  // why a pair is refused; empty: it is not
  CertificateRotation rotation_{
      folder_, {"chain 1", "key 1"}, [this](const Certificate& certificate) -> Result<Unit> {
        if (!refuse_.empty()) return Invalid(refuse_);
        used_ = certificate;
        return Unit{};
      }};
};

TEST_F(CertificateRotationTest, WhatIsInUseAlreadyIsNoNews) {
  EXPECT_FALSE(rotation_.Look().renewed);
  EXPECT_EQ(used_.chain, "");
}

TEST_F(CertificateRotationTest, ANewPairIsUsedAndToldOnce) {
  Write({"chain 2", "key 2"});
  EXPECT_TRUE(rotation_.Look().renewed);
  EXPECT_EQ(used_, (Certificate{"chain 2", "key 2"}));
  EXPECT_FALSE(rotation_.Look().renewed);
}

TEST_F(CertificateRotationTest, ARefusalThatLastsIsToldOnce) {
  Write({"chain 2", "key 1"});
  refuse_ = "mismatch";
  EXPECT_EQ(rotation_.Look().refusal, "") << "the key may follow in a moment";
  EXPECT_EQ(rotation_.Look().refusal, "mismatch");
  EXPECT_EQ(rotation_.Look().refusal, "");
}

TEST_F(CertificateRotationTest, AFileThatIsGoneIsARefusalAsWell) {
  std::filesystem::remove(folder_ / "tls.key");
  EXPECT_EQ(rotation_.Look().refusal, "");
  EXPECT_EQ(rotation_.Look().refusal, "cannot read " + (folder_ / "tls.key").string());
}

TEST_F(CertificateRotationTest, ARefusalThatComesBackAfterASuccessIsToldAgain) {
  refuse_ = "mismatch";
  Write({"chain 2", "key 1"});
  (void)rotation_.Look();
  (void)rotation_.Look();
  refuse_ = "";
  EXPECT_TRUE(rotation_.Look().renewed);
  refuse_ = "mismatch";
  Write({"chain 3", "key 1"});
  EXPECT_EQ(rotation_.Look().refusal, "");
  EXPECT_EQ(rotation_.Look().refusal, "mismatch");
}

}  // namespace
}  // namespace spillway::runtime
