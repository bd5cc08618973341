// Errors as values. A function that can fail returns Result<T>; exceptions of libraries are turned
// into an Error where they arise.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace spillway {

enum class ErrorKind {
  kInvalid,          // the input is wrong; trying again cannot help
  kNotFound,         // the object is not there
  kConflict,         // the object changed meanwhile, or a precondition failed
  kAlreadyExists,    // the object is there already
  kForbidden,        // not allowed (RBAC, admission, quota)
  kUnauthenticated,  // the credentials were refused
  kGone,             // the resource version is too old: list again
  kUnavailable,      // network, overload or a server error: trying again may help
  kCancelled,        // the caller asked to stop
};

struct Error {
  ErrorKind kind = ErrorKind::kUnavailable;
  std::string message;
  // What the server asked for, if it did (Retry-After).
  std::optional<std::chrono::seconds> retry_after = std::nullopt;
  // No answer was had: the request may have been carried out, or may be still.
  bool ambiguous = false;

  bool retryable() const { return kind == ErrorKind::kUnavailable; }
};

// Either a value or an Error. Not thread-safe, like any value.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  // Preconditions: ok() for the value, !ok() for the error.
  const T& value() const& { return std::get<T>(state_); }
  T& value() & { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  const Error& error() const { return std::get<Error>(state_); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};

inline Error Invalid(std::string message) { return Error{ErrorKind::kInvalid, std::move(message)}; }

}  // namespace spillway
