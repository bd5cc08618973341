// What a watch delivers, as events of the core: objects are decoded, and what cannot be read is
// left out of its list. No I/O, threads or clock, so that the simulator reads by the same rules.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "operator/runtime/feed.h"

namespace spillway::runtime {

// Not thread-safe.
class FeedReader {
 public:
  // push takes the events, in their order. The feed must outlive this.
  FeedReader(const Feed& feed, std::function<void(core::Event)> push)
      : feed_(feed), push_(std::move(push)) {}

  // An event of the watch, or an object of a list. What could not be read of it, if anything: as an
  // update it counts as gone, since what was known of it is outdated.
  std::optional<Error> Take(kube::WatchEvent what, const api::Json& object);
  // The list is complete.
  void Listed(int64_t version, std::set<std::string> keys);
  // A list begins, or the watch does not work: what is known may be old.
  void Behind();
  // The watch works again where it was.
  void Recovered();

 private:
  const Feed& feed_;
  const std::function<void(core::Event)> push_;
  std::set<std::string> unreadable_;  // of the list that is under way
};

}  // namespace spillway::runtime
