// JSON to and from text, where either may hold bytes that are not UTF-8. Neither throws.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace spillway {

// What is not UTF-8 is replaced by U+FFFD.
std::string Dump(const nlohmann::json& json);
// A discarded value where the text is not JSON (is_discarded(), which is neither object nor array).
nlohmann::json ParseJson(std::string_view text);

}  // namespace spillway
