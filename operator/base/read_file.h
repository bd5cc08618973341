// Reading a small file as a whole.
#pragma once

#include <string>

#include "operator/base/result.h"

namespace spillway {

// kInvalid, naming the path, where it cannot be read or is empty.
Result<std::string> ReadFile(const std::string& path);

}  // namespace spillway
