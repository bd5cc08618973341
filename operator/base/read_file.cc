#include "operator/base/read_file.h"

#include <fstream>
#include <sstream>

namespace spillway {

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) return Invalid("cannot read " + path);
  return text.str();
}

}  // namespace spillway
