#include "operator/runtime/feed_reader.h"

#include <utility>

#include "operator/api/meta.h"

namespace spillway::runtime {

std::optional<Error> FeedReader::Take(kube::WatchEvent what, const api::Json& object) {
  Told told = Tell(feed_, what, object);
  if (told.unreadable && what == kube::WatchEvent::kListed) {
    unreadable_.insert(api::DecodeMeta(object).key());
  } else {
    push_(std::move(told.event));
  }
  return std::move(told.unreadable);
}

void FeedReader::Listed(int64_t version, std::set<std::string> keys) {
  for (const std::string& key : std::exchange(unreadable_, {})) keys.erase(key);
  push_(core::Listed{feed_.kind, version, std::move(keys), feed_.engine});
}

void FeedReader::Behind() {
  unreadable_.clear();
  push_(core::Behind{feed_.kind, feed_.engine});
}

// Of no version: it says only that what was listed is complete.
void FeedReader::Recovered() { push_(core::Bookmark{feed_.kind, 0, feed_.engine}); }

}  // namespace spillway::runtime
