#include "operator/runtime/certificate_rotation.h"

#include <fstream>
#include <sstream>
#include <utility>

namespace spillway::runtime {

Result<Certificate> ReadCertificate(const std::string& directory) {
  Certificate certificate;
  for (const auto& [file, out] :
       {std::pair("/tls.crt", &certificate.chain), std::pair("/tls.key", &certificate.key)}) {
    std::ifstream in(directory + file);
    std::stringstream text;
    text << in.rdbuf();
    *out = text.str();
    if (!in || out->empty()) return Invalid("cannot read " + directory + file);
  }
  return certificate;
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
