// Text that was written elsewhere (by an API server, a webhook, a kubelet, an engine, a container)
// before it goes into a status, an Event or a log: any bytes of any length.
#pragma once

#include <string>
#include <string_view>

#include "operator/base/text.h"

namespace spillway {

// As valid UTF-8 of at most so many bytes: what is not UTF-8 is replaced by U+FFFD, and what is too
// long is cut between two characters and ends with an ellipsis. Looks at no more than it keeps.
std::string Bounded(std::string_view text, size_t most);
// The same, as one line: line breaks, other control characters and what changes the direction of
// text are blanks, and rows of blanks are one.
std::string OneLine(std::string_view text, size_t most);

// Where nothing has to be changed, the text itself is shared.
Text BoundedText(const Text& text, size_t most);
Text LineText(const Text& text, size_t most);

// Bounds, in bytes. Kubernetes' own: of a termination message, of an Event's message, of its
// reason. Ours: of an error's text when it comes in, of a condition's message, and of a message
// that stands in a column.
inline constexpr size_t kMostOutput = 4096, kMostEventMessage = 1024, kMostReason = 128;
inline constexpr size_t kMostMessage = 8192, kMostConditionMessage = 4096, kMostLine = 256;

}  // namespace spillway
