#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace headrace::actors {

/// ZeroMQ's context: one for each process, made first and destroyed last. Peers in one process meet
/// under `inproc://` endpoints of the same context, where frames pass by pointer.
class transport_context {
 public:
  explicit transport_context(int io_threads = 1);
  ~transport_context();
  transport_context(const transport_context&) = delete;
  transport_context& operator=(const transport_context&) = delete;

  /// The zmq::context_t, for files of actors/transport only.
  void* native() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Refuses endpoints that would listen beyond this machine: until peers have keys only loopback,
/// `ipc:///PATH` (a socket file that only its owner may use) and `inproc://` are served (promise
/// 7). Fails: bad_config, in one line.
result<void> check_listen_endpoint(const std::string& endpoint);

}  // namespace headrace::actors
