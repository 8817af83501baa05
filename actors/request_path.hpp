#pragma once

#include "base/frame.hpp"
#include "schemas/wire.hpp"

#include <functional>
#include <vector>

namespace headrace::actors {

/// Takes a worker's requests to the shards; the other half of reply_path. Implementations: the link
/// over ZeroMQ (transport/link.hpp), and in tests a path that hands sections to shard actors of the
/// same system.
///
/// A request may be lost: it has an id, and whoever sent it keeps a deadline and sends the same
/// bytes again.
class request_path {
 public:
  /// One answered section: `head` names the request and which section of it is answered.
  using receiver = std::function<void(const schemas::envelope& head, frame section)>;

  virtual ~request_path() = default;
  /// Queues one request; any thread; never blocks. `head.sections.size() == sections.size()`.
  virtual void send(const schemas::envelope& head, std::vector<frame> sections) = 0;
  /// Nothing is received afterwards. Idempotent.
  virtual void stop() = 0;
};

}  // namespace headrace::actors
