#include "operator/runtime/refusal_log.h"

#include <algorithm>

namespace spillway::runtime {
namespace {

// Amounts, addresses and times differ from try to try where the refusal does not.
std::string WordsOf(const std::string& message) {
  std::string words;
  for (const char c : message.substr(0, 1'024)) {
    if (c < '0' || c > '9') words += c;
  }
  return words;
}

}  // namespace

bool RefusalLog::IsNews(const std::string& object, const std::string& message, Time now) {
  if (size_ >= kMostRefusals) Forget(now);
  const auto [at, is_new] = heard_[object].try_emplace(WordsOf(message), now);
  size_ += is_new ? 1 : 0;
  const bool news = is_new || now >= at->second + kRefusalForgotten;
  at->second = now;
  return news;
}

void RefusalLog::Succeeded(const std::string& object) {
  const auto at = heard_.find(object);
  if (at == heard_.end()) return;
  size_ -= at->second.size();
  heard_.erase(at);
}

// Those of long ago, or else all of the object that was heard of the longest ago.
void RefusalLog::Forget(Time now) {
  auto oldest = heard_.end();
  Time oldest_at = kNever;
  for (auto object = heard_.begin(); object != heard_.end();) {
    size_ -= std::erase_if(
        object->second, [&](const auto& each) { return now >= each.second + kRefusalForgotten; });
    Time last{};
    for (const auto& [words, at] : object->second) last = std::max(last, at);
    if (object->second.empty()) {
      object = heard_.erase(object);
      continue;
    }
    if (last < oldest_at) {
      oldest = object;
      oldest_at = last;
    }
    ++object;
  }
  if (size_ < kMostRefusals || oldest == heard_.end()) return;
  size_ -= oldest->second.size();
  heard_.erase(oldest);
}

}  // namespace spillway::runtime
