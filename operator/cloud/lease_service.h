// One cloud service: its credentials, the calls of its API, and what it said last of its leases.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "operator/cloud/lease_book.h"

namespace spillway::cloud {

// Makes the connection to a service; kube::MakeTransport, but for tests.
using Connect = std::function<Result<std::unique_ptr<kube::Transport>>(const kube::Config&)>;

// What the operator is to all services.
struct Installation {
  kube::Transport& api;
  std::string ns;  // of the operator, and of the Secrets with credentials
  Connect connect;
  // By contract: how long an answer of a service may take, from the call to its last byte.
  std::chrono::milliseconds patience{20'000};
};
// Whose leases are ours: "<uid of the namespace kube-system>.<namespace of the operator>". The
// first is there before any operator, is never another cluster's, and outlives each installation;
// the second tells two operators of one cluster apart. So whoever leads, after any restart, finds
// the leases that were forgotten, and nobody gives back those of another.
Result<std::string> ClientRef(const Installation& installation, std::stop_token stop);

// What a Secret holds for a service: token, or tls.crt and tls.key, or both; ca.crt.
struct Credentials {
  std::string token, certificate, key, ca;
  bool operator==(const Credentials&) const = default;
};
// Errors name the Secret and its keys, never what they hold.
Result<Credentials> DecodeCredentials(const api::Json& secret);

// Thread-safe.
class LeaseService {
 public:
  // The installation must outlive this.
  LeaseService(ServiceAddress address, const Installation& installation)
      : address_(std::move(address)), installation_(installation) {}

  // The lease of that id, asked for if it is not there. Never a retryable error: what may pass is a
  // Refusal of class Transient.
  Result<Ensured> Ensure(const std::string& id, const api::ServerPool& pool, std::stop_token stop);
  Result<Unit> Release(const std::string& id, std::stop_token stop);
  Refusal Diagnose(const std::string& id, std::stop_token stop);

  // It may have that lease: where a list does not have it, it is asked for by its id. Before
  // Follow.
  void Expect(const std::string& id);
  // Asks for all leases, once, and renews them if that is due. Returns when to ask again.
  std::chrono::milliseconds Look(std::stop_token stop);
  // Looks again and again in a thread of its own, until this is destroyed.
  void Follow();
  // Leases have to be renewed this often; 0: never.
  void RenewEvery(std::chrono::seconds period);

  struct Heard {
    bool ever = false;    // it has said at least once what it has, also of what was expected
    std::string trouble;  // why it does not say so now; empty if it does
    std::vector<api::CloudServer> servers;
    std::set<std::string> unread;  // ids of which it never said anything that could be read
  };
  Heard heard() const;
  const ServiceAddress& address() const { return address_; }

 private:
  // The object of a 2xx answer.
  using Answer = std::variant<api::Json, LeaseError>;

  Answer Call(const kube::Request& request, std::stop_token stop);
  // Has room though all that others may call at once is under way.
  Answer CallOfLook(const kube::Request& request, std::stop_token stop);
  // Once less than so many calls are under way.
  Answer CallAmong(int most, const kube::Request& request, std::stop_token stop);
  Answer CallOnce(const kube::Request& request, std::stop_token stop);
  kube::Request OfLease(const std::string& method, const std::string& id) const;
  // The connection with the credentials of now. reread: the Secret is read again, whatever its age;
  // set to whether anything has changed.
  Result<std::shared_ptr<kube::Transport>> Connected(bool* reread, std::stop_token stop);
  Result<Credentials> ReadCredentials(std::stop_token stop);
  Result<std::string> Ref(std::stop_token stop);
  // What an ambiguous PUT has come to.
  Result<Ensured> Settle(const std::string& id, const LeaseError& error, std::stop_token stop);
  Result<Ensured> Take(const std::string& id, const api::Json& answer);
  void Put(Lease lease);
  void Drop(const std::string& id);
  Result<LeaseList> ListPages(std::stop_token stop);
  // Asks for those that a list did not have, one by one: adds to it what is there after all, and to
  // `gone` who is gone. Fails where that is not answered of one; of those before it is known then.
  Result<Unit> SettleMissing(const std::vector<std::string>& missing, LeaseList& list,
                             std::vector<std::string>& gone, std::stop_token stop);
  // Returns what could not be read; empty if all was.
  Result<std::string> List(std::stop_token stop);
  Result<Unit> Renew(std::stop_token stop);
  std::chrono::milliseconds Conclude(const Result<std::string>& unread);

  const ServiceAddress address_;
  const Installation& installation_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_.
  int calls_ = 0;  // under way
  std::string client_ref_;
  LeaseBook book_;
  bool ever_ = false;
  std::string trouble_;
  int failures_ = 0;  // in a row
  bool stirred_ = false;
  std::chrono::seconds renew_every_{0};
  std::chrono::steady_clock::time_point renewed_{};

  std::mutex link_mutex_;
  // Guarded by link_mutex_.
  std::optional<Credentials> credentials_;
  std::shared_ptr<kube::Transport> transport_;
  std::chrono::steady_clock::time_point read_at_{};

  std::jthread follower_;  // last: it uses the others
};

}  // namespace spillway::cloud
