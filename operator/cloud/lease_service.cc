#include "operator/cloud/lease_service.h"

#include <algorithm>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/base/json.h"
#include "operator/kube/deadline.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// By contract: calls under way at once, and how large an answer may be. The last call is kept for
// the looks: they renew the leases, and do not wait for all that is asked for.
constexpr int kMostCalls = 4, kMostCallsOfOthers = kMostCalls - 1;
constexpr size_t kMostBytes = 4 << 20;
constexpr int kMostPages = 1000;
constexpr size_t kMostLeases = 100'000;
// A look at all leases may take as long as so many answers.
constexpr int kAnswersOfLook = 6;
// Of the leases that a list does not have, so many are asked for one by one before the next list.
constexpr size_t kMostMissing = 100;
// How often leases are asked for: while one is on its way or is being given back, and otherwise.
constexpr milliseconds kLookSoon{3'000}, kLook{10'000}, kLongestPause{60'000};
constexpr seconds kReadSecretEvery{30};

LeaseError Transient(std::string message) {
  LeaseError error;
  error.refusal = {CloudError::kTransient, std::move(message)};
  return error;
}

void NoteUnread(LeaseList& list, const UnreadLease& unread) {
  if (list.trouble.empty())
    list.trouble = "a lease cannot be read and stays as it was: " + unread.why;
  if (!unread.id.empty()) list.unread.insert(unread.id);
}

// The lease that was asked for by that id. Fails for another, and for what is no lease.
Result<Lease> DecodeLeaseOf(const std::string& id, const Json& answer) {
  auto lease = DecodeLease(answer);
  if (lease && lease->server.name != id) return Invalid("it is of another id than was asked for");
  return lease;
}

struct Url {
  std::string server, path;
};
Url Split(const std::string& endpoint) {
  const size_t slash = endpoint.find('/', std::string_view("https://").size());
  if (slash == std::string::npos) return {endpoint, ""};
  return {endpoint.substr(0, slash), endpoint.substr(slash)};
}

}  // namespace

Result<std::string> ClientRef(const Installation& installation, std::stop_token stop) {
  const auto found =
      kube::Call(installation.api, kube::GetRequest(kube::kNamespaces, "", "kube-system"), stop);
  if (!found) return found.error();
  const std::string uid = api::DecodeMeta(*found).uid;
  if (uid.empty()) return Invalid("the namespace kube-system has no uid");
  return uid + "." + installation.ns;
}

Result<Credentials> DecodeCredentials(const Json& secret) {
  Credentials out;
  const Json& data = api::GetObject(secret, "data");
  for (const auto& [key, text] :
       {std::pair("token", &out.token), std::pair("tls.crt", &out.certificate),
        std::pair("tls.key", &out.key), std::pair("ca.crt", &out.ca)}) {
    auto decoded = kube::DecodeBase64(api::GetString(data, key));
    if (!decoded) return Invalid(std::string(key) + " " + decoded.error().message);
    *text = std::move(*decoded);
  }
  out.token = kube::OneWord(out.token);
  if (out.certificate.empty() != out.key.empty())
    return Invalid("tls.crt and tls.key must be given together");
  if (out.token.empty() && out.certificate.empty())
    return Invalid("it has neither token nor tls.crt and tls.key");
  return out;
}

Result<Credentials> LeaseService::ReadCredentials(std::stop_token stop) {
  const std::string what = "Secret " + installation_.ns + "/" + address_.secret;
  const auto secret = kube::Call(
      installation_.api, kube::GetRequest(kube::kSecrets, installation_.ns, address_.secret), stop);
  if (!secret) {
    Error error = secret.error();
    error.message = what + " cannot be read: " + error.message;
    if (error.kind == ErrorKind::kForbidden)
      error.message += "; name it in the chart's rest.secretNames";
    return error;
  }
  auto credentials = DecodeCredentials(*secret);
  if (!credentials) return Invalid(what + ": " + credentials.error().message);
  return credentials;
}

Result<std::shared_ptr<kube::Transport>> LeaseService::Connected(bool* reread,
                                                                 std::stop_token stop) {
  const std::lock_guard lock(link_mutex_);
  const bool must = std::exchange(*reread, false);
  const auto now = steady_clock::now();
  if (transport_ != nullptr && !must && now - read_at_ < kReadSecretEvery) return transport_;
  auto fresh = ReadCredentials(stop);
  if (!fresh) {
    if (transport_ != nullptr && !must) return transport_;  // it may be about to be replaced
    return fresh.error();
  }
  read_at_ = now;
  if (transport_ != nullptr && *fresh == *credentials_) return transport_;
  kube::Config config;
  config.server = Split(address_.endpoint).server;
  config.authority = fresh->ca.empty() ? "an authority of the system" : "the Secret's ca.crt";
  config.ca = fresh->ca;
  config.client_certificate = fresh->certificate;
  config.client_key = fresh->key;
  config.token = fresh->token;
  config.timeout = std::chrono::ceil<seconds>(installation_.patience);
  config.most_bytes = kMostBytes;
  auto made = installation_.connect(config);
  if (!made)
    return Invalid("Secret " + installation_.ns + "/" + address_.secret + ": " +
                   made.error().message);
  transport_ = std::move(*made);
  credentials_ = std::move(*fresh);
  *reread = true;
  return transport_;
}

LeaseService::Answer LeaseService::CallOnce(const kube::Request& request, std::stop_token stop) {
  bool reread = false;
  const auto transport = Connected(&reread, stop);
  if (!transport) {
    LeaseError error = NoAnswer(transport.error());
    error.ambiguous = false;  // it was not sent
    if (!transport.error().retryable()) error.refusal.error = CloudError::kUnauthenticated;
    return error;
  }
  const kube::Deadline deadline(installation_.patience, std::move(stop));
  auto response = (*transport)->Send(request, deadline.token());
  if (!response && deadline.over())
    response = Error{ErrorKind::kUnavailable,
                     "no whole answer within " + FormatDuration(installation_.patience),
                     std::nullopt, true};
  if (!response) {
    // The authority or the certificate may have been replaced.
    const std::lock_guard lock(link_mutex_);
    read_at_ = {};
    return NoAnswer(response.error());
  }
  if (response->status < 200 || response->status >= 300) return ReadError(*response);
  Json body = ParseJson(response->body);
  if (body.is_object()) return body;
  LeaseError error = Transient("the answer of " + address_.endpoint +
                               " is not a JSON object: " + OneLine(response->body, kMostLine));
  error.ambiguous = true;
  return error;
}

LeaseService::Answer LeaseService::Call(const kube::Request& request, std::stop_token stop) {
  return CallAmong(kMostCallsOfOthers, request, std::move(stop));
}

LeaseService::Answer LeaseService::CallOfLook(const kube::Request& request, std::stop_token stop) {
  return CallAmong(kMostCalls, request, std::move(stop));
}

LeaseService::Answer LeaseService::CallAmong(int most, const kube::Request& request,
                                             std::stop_token stop) {
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, stop, installation_.patience, [&] { return calls_ < most; }))
      return Transient(stop.stop_requested() ? "stopped"
                                             : address_.endpoint + " is slow: other calls wait");
    ++calls_;
  }
  // Also if it throws.
  const std::shared_ptr<void> ended(nullptr, [this](void*) {
    {
      const std::lock_guard lock(mutex_);
      --calls_;
    }
    changed_.notify_all();
  });
  Answer answer = CallOnce(request, stop);
  if (const auto* error = std::get_if<LeaseError>(&answer);
      error != nullptr && error->credentials) {
    // Unless the credentials were replaced meanwhile, they are refused again.
    bool renewed = true;
    if (Connected(&renewed, stop) && renewed) answer = CallOnce(request, stop);
  }
  return answer;
}

kube::Request LeaseService::OfLease(const std::string& method, const std::string& id) const {
  return {method, Split(address_.endpoint).path + "/v1/leases/" + id, "", ""};
}

Result<std::string> LeaseService::Ref(std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    if (!client_ref_.empty()) return client_ref_;
  }
  auto ref = ClientRef(installation_, std::move(stop));
  if (!ref) return ref.error();
  const std::lock_guard lock(mutex_);
  return client_ref_ = *ref;
}

void LeaseService::Put(Lease lease) {
  {
    const std::lock_guard lock(mutex_);
    book_.Put(std::move(lease));
    stirred_ = true;
  }
  changed_.notify_all();
}

void LeaseService::Drop(const std::string& id) {
  const std::lock_guard lock(mutex_);
  book_.Drop(id);
}

Result<Ensured> LeaseService::Take(const std::string& id, const Json& answer) {
  auto lease = DecodeLeaseOf(id, answer);
  if (!lease)
    return Ensured(Refusal{CloudError::kTransient, "the answer of " + address_.endpoint +
                                                       " is no lease: " + lease.error().message});
  if (lease->released) {
    return Ensured(Refusal{CloudError::kInsufficientCapacity,
                           lease->server.message.empty()
                               ? "the lease was given back before its node was ready"
                               : lease->server.message});
  }
  api::CloudServer server = lease->server;
  Put(std::move(*lease));
  return Ensured(std::move(server));
}

Result<Ensured> LeaseService::Settle(const std::string& id, const LeaseError& error,
                                     std::stop_token stop) {
  const Answer found = Call(OfLease("GET", id), stop);
  if (const auto* lease = std::get_if<Json>(&found)) return Take(id, *lease);
  // It is asked for again, under the same id.
  Refusal refusal = error.refusal;
  refusal.error = CloudError::kTransient;
  return Ensured(std::move(refusal));
}

Result<Ensured> LeaseService::Ensure(const std::string& id, const api::ServerPool& pool,
                                     std::stop_token stop) {
  const auto ref = Ref(stop);
  if (!ref) return Ensured(Refusal{CloudError::kTransient, ref.error().message});
  kube::Request put = OfLease("PUT", id);
  put.content_type = "application/json";
  put.body = Dump(LeaseBody(*ref, pool));
  const Answer answer = Call(put, stop);
  if (stop.stop_requested()) return Error{ErrorKind::kCancelled, "stopped"};
  if (const auto* lease = std::get_if<Json>(&answer)) {
    auto taken = Take(id, *lease);
    const auto* refusal = std::get_if<Refusal>(&*taken);
    if (refusal == nullptr || refusal->error != CloudError::kTransient) return taken;
    LeaseError nonsense = Transient(refusal->message);
    return Settle(id, nonsense, stop);
  }
  const auto& error = std::get<LeaseError>(answer);
  // What was asked for first counts: the pool may have been changed since.
  if (error.ambiguous || error.code == "LeaseDiffers") return Settle(id, error, stop);
  return Ensured(error.refusal);
}

Result<Unit> LeaseService::Release(const std::string& id, std::stop_token stop) {
  const Answer answer = Call(OfLease("DELETE", id), stop);
  if (const auto* left = std::get_if<Json>(&answer)) {
    if (auto lease = DecodeLeaseOf(id, *left)) Put(std::move(*lease));
    return Unit{};
  }
  const auto& error = std::get<LeaseError>(answer);
  if (!error.gone()) return ToError(error);
  Drop(id);
  return Unit{};
}

Refusal LeaseService::Diagnose(const std::string& id, std::stop_token stop) {
  const Answer answer = Call(OfLease("GET", id), stop);
  Refusal gone{CloudError::kInsufficientCapacity,
               "the lease is gone before its node was ready, and the cloud service does not say "
               "why"};
  if (const auto* error = std::get_if<LeaseError>(&answer))
    return error->gone() ? gone : Refusal{CloudError::kTransient, error->refusal.message};
  const auto lease = DecodeLease(std::get<Json>(answer));
  if (!lease) return {CloudError::kTransient, lease.error().message};
  if (lease->server.error != CloudError::kNone) return {lease->server.error, lease->server.message};
  if (!lease->server.message.empty()) gone.message = lease->server.message;
  if (!lease->released && !lease->server.deleting)
    return {CloudError::kTransient, "the cloud service had not listed the lease, and has it"};
  return gone;
}

void LeaseService::Expect(const std::string& id) {
  const std::lock_guard lock(mutex_);
  book_.Expect(id);
}

Result<LeaseList> LeaseService::ListPages(std::stop_token stop) {
  const auto ref = Ref(stop);
  if (!ref) return ref.error();
  LeaseList list;
  std::string next;
  for (int page = 0; page < kMostPages && list.leases.size() + list.unread.size() < kMostLeases;
       ++page) {
    kube::Request request;
    request.path = Split(address_.endpoint).path + "/v1/leases?limit=500&clientRef=" + *ref;
    if (!next.empty()) request.path += "&continue=" + next;
    const Answer answer = CallOfLook(request, stop);
    if (const auto* error = std::get_if<LeaseError>(&answer)) return ToError(*error);
    auto read = DecodeLeases(std::get<Json>(answer), *ref);
    if (!read) return Invalid("the answer of " + address_.endpoint + ": " + read.error().message);
    for (Lease& lease : read->leases) list.leases.push_back(std::move(lease));
    for (const UnreadLease& each : read->unread) NoteUnread(list, each);
    if (read->next.empty()) return list;
    if (read->next <= next) return Invalid("the pages of " + address_.endpoint + " do not go on");
    next = std::move(read->next);
  }
  return Invalid("it has more leases than can be taken up");
}

Result<Unit> LeaseService::SettleMissing(const std::vector<std::string>& missing, LeaseList& list,
                                         std::vector<std::string>& gone, std::stop_token stop) {
  for (const std::string& id : missing) {
    {
      const std::lock_guard lock(mutex_);
      book_.Asked(id);
    }
    const Answer answer = CallOfLook(OfLease("GET", id), stop);
    if (const auto* error = std::get_if<LeaseError>(&answer)) {
      if (!error->gone()) return ToError(*error);
      gone.push_back(id);
      continue;
    }
    auto lease = DecodeLeaseOf(id, std::get<Json>(answer));
    if (lease) {
      list.leases.push_back(std::move(*lease));
    } else {
      NoteUnread(list, {id, id + ": " + lease.error().message});
    }
  }
  return Unit{};
}

Result<std::string> LeaseService::List(std::stop_token stop) {
  uint64_t look = 0;
  {
    const std::lock_guard lock(mutex_);
    look = book_.BeginList();
  }
  auto list = ListPages(stop);
  if (!list) return list.error();
  std::vector<std::string> missing, gone;
  {
    const std::lock_guard lock(mutex_);
    missing = book_.Missing(look, *list, kMostMissing);
  }
  const auto settled = SettleMissing(missing, *list, gone, stop);
  std::string unread = list->trouble;
  const std::lock_guard lock(mutex_);
  book_.EndList(look, std::move(*list), gone);
  if (!settled) return settled.error();
  return unread;
}

Result<Unit> LeaseService::Renew(std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    if (renew_every_.count() == 0 || steady_clock::now() < renewed_ + renew_every_) return Unit{};
  }
  const auto ref = Ref(stop);
  if (!ref) return ref.error();
  const Answer answer = CallOfLook({"POST", Split(address_.endpoint).path + "/v1/renewals",
                                    "application/json", Dump({{"clientRef", *ref}})},
                                   stop);
  if (const auto* error = std::get_if<LeaseError>(&answer)) return ToError(*error);
  const std::lock_guard lock(mutex_);
  renewed_ = steady_clock::now();
  return Unit{};
}

void LeaseService::RenewEvery(seconds period) {
  const std::lock_guard lock(mutex_);
  renew_every_ = period;
}

milliseconds LeaseService::Conclude(const Result<std::string>& unread) {
  const std::lock_guard lock(mutex_);
  if (!unread) {
    trouble_ = address_.endpoint + ": " + unread.error().message;
    const milliseconds pause = std::min<milliseconds>(
        milliseconds(2'000) * (1 << std::min(failures_++, 5)), kLongestPause);
    return std::max<milliseconds>(pause, unread.error().retry_after.value_or(seconds(0)));
  }
  ever_ = ever_ || book_.Complete();
  trouble_ = unread->empty() ? "" : address_.endpoint + ": " + *unread;
  failures_ = 0;
  return book_.Settled() ? kLook : kLookSoon;
}

milliseconds LeaseService::Look(std::stop_token stop) {
  const milliseconds most = kAnswersOfLook * installation_.patience;
  const kube::Deadline deadline(most, stop);
  const auto renewed = Renew(deadline.token());
  const auto unread = renewed ? List(deadline.token()) : renewed.error();
  if (stop.stop_requested()) return kLook;
  if (!unread && deadline.over())
    return Conclude(Error{ErrorKind::kUnavailable,
                          "it has not said within " + FormatDuration(most) + " what it has"});
  return Conclude(unread);
}

void LeaseService::Follow() {
  follower_ = std::jthread([this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      milliseconds pause = kLookSoon;
      try {
        pause = Look(stop);
      } catch (const std::exception& error) {
        pause = Conclude(Invalid(error.what()));
      }
      std::unique_lock lock(mutex_);
      auto due = steady_clock::now() + pause;
      while (!stop.stop_requested() && steady_clock::now() < due) {
        // A lease that was asked for meanwhile is looked at soon; a service in trouble is left
        // alone.
        if (std::exchange(stirred_, false) && failures_ == 0)
          due = std::min(due, steady_clock::now() + kLookSoon);
        changed_.wait_until(lock, stop, due, [&] { return stirred_; });
      }
    }
  });
}

LeaseService::Heard LeaseService::heard() const {
  const std::lock_guard lock(mutex_);
  return {ever_, trouble_, book_.Servers(), book_.Unread()};
}

}  // namespace spillway::cloud
