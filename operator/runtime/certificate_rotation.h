// Reads a serving certificate from a directory again and again: cert-manager and admins replace it
// long before it expires, without restarting the process.
#pragma once

#include <functional>
#include <string>

#include "operator/base/result.h"
#include "operator/runtime/http_server.h"

namespace spillway::runtime {

// tls.crt and tls.key of the directory, as a mounted Secret has them.
Result<Certificate> ReadCertificate(const std::string& directory);

// Not thread-safe.
class CertificateRotation {
 public:
  // Takes a pair, or says why it cannot be used.
  using Use = std::function<Result<Unit>(const Certificate&)>;
  // What to log after a read.
  struct News {
    bool renewed = false;
    std::string refusal;  // empty: none, or one that was told already
  };

  // current: what is in use.
  CertificateRotation(std::string directory, Certificate current, Use use)
      : directory_(std::move(directory)), current_(std::move(current)), use_(std::move(use)) {}

  // Reads the files, and puts a new pair to use; keeps the last one if the new one cannot be used.
  // The two files may be replaced one after the other, so a refusal is logged only when the second
  // read in a row finds it.
  News Look();

 private:
  News Refused(const std::string& why);

  const std::string directory_;
  Certificate current_;
  const Use use_;
  std::string refusal_;  // of the last look
  bool told_ = false;
};

}  // namespace spillway::runtime
