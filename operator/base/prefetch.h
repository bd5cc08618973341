// Tells the processor what will be read soon, for large structures that are not in its cache, where
// waiting for one miss after the other would take most of the time.
#pragma once

#include <cstddef>

namespace spillway {

// The object itself, not what it points to; it need not be there any more.
template <typename T>
void Prefetch(const T* object) {
  const char* begin = reinterpret_cast<const char*>(object);
  for (size_t i = 0; i < sizeof(T); i += 64) __builtin_prefetch(begin + i);
}

}  // namespace spillway
