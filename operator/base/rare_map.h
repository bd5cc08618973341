// An ordered map that is mostly empty: a pointer's room then. Copies are deep. As for std::map,
// iterators and references stay valid while their element does.
#pragma once

#include <map>

#include "operator/base/boxed.h"

namespace spillway {

template <typename Key, typename Value>
class RareMap {
  using Map = std::map<Key, Value>;

 public:
  using const_iterator = typename Map::const_iterator;

  bool empty() const { return !map_; }
  const_iterator begin() const { return all().begin(); }
  const_iterator end() const { return all().end(); }
  const_iterator find(const Key& key) const { return all().find(key); }
  bool contains(const Key& key) const { return map_ && map_->contains(key); }
  // Throws std::out_of_range if there is none.
  const Value& at(const Key& key) const { return all().at(key); }
  Value& operator[](const Key& key) { return map_ ? (*map_)[key] : map_.emplace()[key]; }
  void erase(const Key& key) {
    if (map_ && map_->erase(key) > 0 && map_->empty()) map_.reset();
  }
  bool operator==(const RareMap& other) const { return all() == other.all(); }

 private:
  const Map& all() const {
    static const Map kNone;
    return map_ ? *map_ : kNone;
  }

  Boxed<Map> map_;  // missing if empty
};

}  // namespace spillway
