#pragma once

#include "actors/request_path.hpp"
#include "actors/transport/context.hpp"
#include "base/frame.hpp"
#include "base/result.hpp"

#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// The worker's side of the wire: one DEALER socket on one plain thread, to one server node.
///
/// Messages may be lost when the server dies: ZeroMQ reports success all the same (measured).
class link final : public request_path {
 public:
  /// Connects (in the background, again after each loss). `receive` runs on the link's thread and
  /// must only hand over. Fails: bad_config.
  static result<std::unique_ptr<link>> open(transport_context& context,
                                            const std::string& endpoint,
                                            receiver receive);
  ~link() override;
  link(const link&) = delete;
  link& operator=(const link&) = delete;

  void send(const schemas::envelope& head, std::vector<frame> sections) override;
  /// Stops the thread.
  void stop() override;

 private:
  struct state;
  link();
  void run();
  void send_requests();
  void take_answer();
  std::unique_ptr<state> state_;
};

}  // namespace headrace::actors
