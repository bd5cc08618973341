#include "operator/runtime/scrape_access.h"

#include <openssl/sha.h>

namespace spillway::runtime {
namespace {

using kube::Json;

const kube::Resource kTokenReviews{"authentication.k8s.io", "v1", "tokenreviews"};
const kube::Resource kAccessReviews{"authorization.k8s.io", "v1", "subjectaccessreviews"};
constexpr std::chrono::minutes kRemembered{1};
constexpr size_t kMostRemembered = 256, kLongestToken = 16'384;
constexpr std::string_view kScheme = "Bearer ";

std::string Digest(const std::string& token) {
  unsigned char out[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), out);
  return std::string(reinterpret_cast<const char*>(out), sizeof out);
}

// Of an answer's status; null where it is not there.
Json StatusOf(const Json& review, const char* key) {
  const auto status = review.find("status");
  if (status == review.end() || !status->is_object()) return nullptr;
  const auto found = status->find(key);
  return found == status->end() ? Json(nullptr) : *found;
}

Json TokenReview(const std::string& token) {
  return {{"apiVersion", "authentication.k8s.io/v1"},
          {"kind", "TokenReview"},
          {"spec", {{"token", token}}}};
}

// user: of a TokenReview's status.
Json AccessReview(const Json& user) {
  Json spec = {{"nonResourceAttributes", {{"path", "/metrics"}, {"verb", "get"}}}};
  const std::pair<const char*, const char*> fields[] = {
      {"username", "user"}, {"uid", "uid"}, {"groups", "groups"}, {"extra", "extra"}};
  for (const auto& [from, to] : fields) {
    if (const auto found = user.find(from); found != user.end()) spec[to] = *found;
  }
  return {{"apiVersion", "authorization.k8s.io/v1"},
          {"kind", "SubjectAccessReview"},
          {"spec", std::move(spec)}};
}

}  // namespace

Access ScrapeAccess::Ask(const std::string& token, std::stop_token stop) {
  const auto known =
      kube::Call(transport_, kube::CreateRequest(kTokenReviews, "", TokenReview(token)), stop);
  if (!known) return Access::kNotDecided;
  const Json user = StatusOf(*known, "user");
  if (StatusOf(*known, "authenticated") != Json(true) || !user.is_object()) return Access::kUnknown;
  const auto allowed =
      kube::Call(transport_, kube::CreateRequest(kAccessReviews, "", AccessReview(user)), stop);
  if (!allowed) return Access::kNotDecided;
  return StatusOf(*allowed, "allowed") == Json(true) ? Access::kAllowed : Access::kForbidden;
}

Access ScrapeAccess::Check(const std::string& authorization, Time now, std::stop_token stop) {
  if (!authorization.starts_with(kScheme)) return Access::kUnknown;
  const std::string token = authorization.substr(kScheme.size());
  if (token.empty() || token.size() > kLongestToken) return Access::kUnknown;
  const std::string key = Digest(token);
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = decided_.find(key); at != decided_.end() && at->second.until > now)
      return at->second.access;
  }
  const Access access = Ask(token, stop);
  if (access == Access::kNotDecided) return access;
  const std::lock_guard lock(mutex_);
  if (decided_.size() >= kMostRemembered) decided_.clear();
  decided_[key] = {access, now + kRemembered};
  return access;
}

}  // namespace spillway::runtime
