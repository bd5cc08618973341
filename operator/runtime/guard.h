// The outermost call of a thread: an exception that escapes it would end the whole process.
#pragma once

#include <exception>
#include <optional>
#include <string>

namespace spillway::runtime {

// Calls work; what it threw, as text, if it did.
template <typename Work>
std::optional<std::string> Guarded(Work&& work) {
  try {
    work();
    return std::nullopt;
  } catch (const std::exception& error) {
    return std::string(error.what());
  } catch (...) {
    return std::string("an exception of no known type");
  }
}

}  // namespace spillway::runtime
