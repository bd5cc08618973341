#include "operator/runtime/answers.h"

#include <algorithm>

namespace spillway::runtime {

using core::Verb;

bool TryAgain(const core::Effect& effect, const Error& error, int attempts) {
  if (std::holds_alternative<core::Note>(effect))
    return error.retryable() && attempts + 1 < kMostNoteTries;
  // Credentials are rotated: those that were refused may be good again.
  const bool write = std::holds_alternative<core::Write>(effect);
  return error.retryable() || (write && error.kind == ErrorKind::kUnauthenticated);
}

std::chrono::milliseconds Backoff(const Error& error, int attempts) {
  using std::chrono::milliseconds;
  const milliseconds wait =
      std::min(milliseconds(100) * (1 << std::min(attempts, 7)), milliseconds(10'000));
  return error.retry_after ? std::max<milliseconds>(wait, *error.retry_after) : wait;
}

core::Outcome OutcomeOf(const core::Write& write) {
  return {write.verb, write.kind, write.key(), write.uid, {}, {}};
}

core::Outcome OutcomeOf(const core::AskCloud& ask) {
  const bool ensure = ask.op == core::AskCloud::Op::kEnsure;
  return {ensure ? Verb::kCreate : Verb::kDelete,
          core::Kind::kCloudServer,
          ask.server.name,
          ask.request_uid,
          {},
          {}};
}

}  // namespace spillway::runtime
