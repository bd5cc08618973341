#include "operator/base/json.h"

#include "operator/base/foreign_text.h"

namespace spillway {

using nlohmann::json;

std::string Dump(const json& json) {
  return json.dump(-1, ' ', false, json::error_handler_t::replace);
}

json ParseJson(std::string_view text) {
  json parsed = json::parse(text, nullptr, false);
  // The parser refuses bytes that are not UTF-8, wherever they are. A replaced one is three bytes.
  if (parsed.is_discarded()) parsed = json::parse(Bounded(text, 3 * text.size()), nullptr, false);
  return parsed;
}

}  // namespace spillway
