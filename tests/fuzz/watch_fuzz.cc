// The stream of a watch, in pieces of any size: the first byte is the size of the pieces
// and whether lists come in pages.
#include <algorithm>
#include <utility>

#include "operator/kube/watcher.h"

namespace {

using namespace spillway;

// The stream as a list and, where that is refused, after an empty list.
class Script : public kube::Transport {
 public:
  Script(std::string_view bytes, size_t piece, bool pages, std::stop_source& stop)
      : bytes_(bytes), piece_(piece), pages_(pages), stop_(stop) {}
  Result<kube::Response> Send(const kube::Request&, std::stop_token stop) override {
    if (stop.stop_requested()) return Error{ErrorKind::kCancelled, "", std::nullopt};
    if (listed_) stop_.request_stop();
    listed_ = true;
    return kube::Response{200, R"({"metadata":{"resourceVersion":"1"},"items":[]})", {}};
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>& take) override {
    if (pages_ && !std::exchange(refused_, true)) return kube::Response{422, "{}", {}};
    stop_.request_stop();
    for (size_t at = 0; at < bytes_.size(); at += piece_) take(bytes_.substr(at, piece_));
    return kube::Response{200, "", {}};
  }

 private:
  std::string_view bytes_;
  size_t piece_;
  bool pages_;
  std::stop_source& stop_;
  bool listed_ = false, refused_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  std::stop_source stop;
  Script script({reinterpret_cast<const char*>(data) + 1, size - 1}, data[0] % 64u + 1,
                data[0] < 128, stop);
  kube::WatchSink sink;
  sink.event = [](kube::WatchEvent, const kube::Json&) {};
  sink.listed = [](int64_t, std::set<std::string>) {};
  sink.trouble = [](const std::optional<Error>&) {};
  kube::Watch(script, {kube::kPods, "", false, 500}, sink, stop.get_token());
  return 0;
}
