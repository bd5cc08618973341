#include "operator/core/deletion.h"

#include <algorithm>

namespace spillway::core {

bool MayDelete(const Context& context, const Deletion& deletion, Time* wake) {
  if (deletion.sent) return false;
  if (context.now >= deletion.backoff.not_before) return true;
  *wake = std::min(*wake, deletion.backoff.not_before);
  return false;
}

bool Deleted(const Context& context, Deletion& deletion, const std::string& uid,
             const std::optional<Error>& error) {
  deletion.sent = !error || error->kind == ErrorKind::kNotFound;
  deletion.error = deletion.sent ? "" : error->message;
  if (deletion.sent) return false;
  return deletion.backoff.Fail(context.now, uid, error->message);
}

}  // namespace spillway::core
