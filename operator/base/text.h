// A text that is never changed and that its copies share. Safe to copy from several threads.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace spillway {

class Text {
 public:
  Text() = default;
  Text(std::string text)
      : text_(text.empty() ? nullptr : std::make_shared<const std::string>(std::move(text))) {}
  Text(const char* text) : Text(std::string(text)) {}

  const std::string& str() const {
    static const std::string kEmpty;
    return text_ == nullptr ? kEmpty : *text_;
  }
  bool operator==(const Text& other) const { return text_ == other.text_ || str() == other.str(); }
  bool operator==(const std::convertible_to<std::string_view> auto& other) const {
    return str() == std::string_view(other);
  }

 private:
  std::shared_ptr<const std::string> text_;  // null: empty
};

}  // namespace spillway
