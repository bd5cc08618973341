// How much memory is in use.
#pragma once

#include <malloc.h>

#include <cstddef>

namespace spillway {

inline size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace spillway
