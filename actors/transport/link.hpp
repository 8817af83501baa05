#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/transport/context.hpp"
#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/wire.hpp"

namespace headrace::actors {

/// The worker's side of the wire: one DEALER socket on one plain thread, to one server node.
///
/// Messages may be lost when the server dies (ZeroMQ reports success all the same, measured): every
/// request has an id, callers keep a deadline and send the same bytes again.
class link {
 public:
  /// One answered section: `head` names the request and which section it is.
  using receiver = std::function<void(const schemas::envelope& head, frame section)>;

  /// Connects (in the background, again after each loss). `receive` runs on the link's thread and must only
  /// hand over. Fails: bad_config.
  static result<std::unique_ptr<link>> open(transport_context& context,
                                            const std::string& endpoint,
                                            receiver receive);
  ~link();
  link(const link&) = delete;
  link& operator=(const link&) = delete;

  /// Queues one request; any thread. `head.sections.size() == sections.size()`.
  void send(const schemas::envelope& head, std::vector<frame> sections);

  /// Stops the thread; nothing is received afterwards. Idempotent.
  void stop();

 private:
  struct state;
  link();
  void run();
  void send_requests();
  void take_answer();
  std::unique_ptr<state> state_;
};

}  // namespace headrace::actors
