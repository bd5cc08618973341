// A value that is never changed but replaced as a whole, and that its copies share. Safe to copy
// from several threads.
#pragma once

#include <memory>
#include <utility>

namespace spillway {

template <typename T>
class Shared {
 public:
  Shared() = default;  // T's default value
  Shared(T value) : value_(std::make_shared<const T>(std::move(value))) {}

  const T& operator*() const {
    static const T kDefault{};
    return value_ == nullptr ? kDefault : *value_;
  }
  const T* operator->() const { return &**this; }
  bool operator==(const Shared& other) const { return value_ == other.value_ || **this == *other; }

 private:
  std::shared_ptr<const T> value_;
};

}  // namespace spillway
