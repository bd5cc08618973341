// The model's API server at the level of requests and bytes: what kube::Transport would carry. It
// answers what the operator asks of the real one, and tests/integration/answers_test.cc asks both.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "operator/kube/transport.h"
#include "tests/simulation/api_server.h"
#include "tests/simulation/web_request.h"

namespace spillway::simulation {

// A watch says at least so often how far it is.
inline constexpr Duration kBookmarkEvery = std::chrono::seconds(60);

// A watch that is under way.
struct OpenWatch {
  Kind kind{};
  std::string ns;                 // empty: all
  std::deque<std::string> first;  // lines of the list that it begins with
  size_t next = 0;                // in the history of the kind
  Time ends{};                    // timeoutSeconds
  Time spoke{};                   // when it sent a line last
  bool bookmarks = false;
  bool over = false;  // it ends after the first lines
};

class WebApi {
 public:
  // The API server must outlive this.
  explicit WebApi(ApiServer& api) : api_(api) {}

  // A list, page by page, or one object; and what the operator writes: creations, statuses (JSON
  // patches), deletions. The answer to anything else is 405.
  // decided: the write that the request carries out; the witness is told of what bytes do not say.
  kube::Response Handle(const kube::Request& request, const core::Write* decided = nullptr);
  // Begins a watch. The answer has a body only where its status is not 200.
  kube::Response Open(const kube::Request& request, std::optional<OpenWatch>& watch);
  // The lines, at most so many, that the watch has to send now. A watch whose next event was
  // forgotten gets an error with code 410, and ends.
  std::string Read(std::optional<OpenWatch>& watch, size_t most) const;
  // Whether Read would give a line, or end the watch.
  bool HasNews(const OpenWatch& watch) const;

 private:
  struct Page {
    int64_t version = 0;
    std::vector<api::Json> rest;
  };

  kube::Response Carry(const core::Write& write);
  kube::Response List(Kind kind, const std::string& ns, const Query& query);
  kube::Response GivePage(Page page, const Query& query);
  // What is there comes first, as if it were new.
  void BeginWithAll(OpenWatch& watch) const;
  // Goes back to what came after this version.
  void Rewind(int64_t version, OpenWatch& watch) const;
  // What would come next was forgotten.
  void Expire(OpenWatch& watch) const;

  ApiServer& api_;
  std::map<std::string, Page> pages_;  // by continue token
  size_t tokens_ = 0;
};

// Carries the requests of one write.
class WriteTransport : public kube::Transport {
 public:
  WriteTransport(ApiServer& api, const core::Write& decided) : web_(api), decided_(decided) {}
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    return web_.Handle(request, &decided_);
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("no write streams");
  }

 private:
  WebApi web_;
  const core::Write& decided_;
};

}  // namespace spillway::simulation
