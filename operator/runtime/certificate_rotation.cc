#include "operator/runtime/certificate_rotation.h"

#include <utility>

#include "operator/base/read_file.h"

namespace spillway::runtime {

Result<Certificate> ReadCertificate(const std::string& directory) {
  auto chain = ReadFile(directory + "/tls.crt");
  if (!chain) return chain.error();
  auto key = ReadFile(directory + "/tls.key");
  if (!key) return key.error();
  return Certificate{std::move(chain).value(), std::move(key).value()};
}

CertificateRotation::News CertificateRotation::Look() {
  auto now = ReadCertificate(directory_);
  if (!now) return Refused(now.error().message);
  const bool renewed = *now != current_;
  if (renewed) {
    if (const auto used = use_(*now); !used) return Refused(used.error().message);
    current_ = std::move(now).value();
  }
  refusal_.clear();
  told_ = false;
  return {renewed, ""};
}

CertificateRotation::News CertificateRotation::Refused(const std::string& why) {
  if (std::exchange(refusal_, why) != why) {
    told_ = false;
    return {};
  }
  if (std::exchange(told_, true)) return {};
  return {false, why};
}

}  // namespace spillway::runtime
