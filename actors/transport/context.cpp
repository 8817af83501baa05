#include "actors/transport/context.hpp"

#include "actors/transport/ipc_socket.hpp"
#include "actors/transport/loopback.hpp"

#include <zmq.hpp>

#include <string_view>

namespace headrace::actors {

struct transport_context::state {
  zmq::context_t context;
};

transport_context::transport_context(int io_threads)
    : state_(std::make_unique<state>(state{zmq::context_t(io_threads)})) {}
transport_context::~transport_context() = default;
void* transport_context::native() const { return &state_->context; }

result<void> check_listen_endpoint(const std::string& endpoint) {
  const std::string_view text = endpoint;
  if (text.starts_with("inproc://")) return {};
  if (is_ipc(text)) return check_ipc_endpoint(endpoint);
  if (!text.starts_with("tcp://")) {
    return error{errc::bad_config,
                 "listen address '" + endpoint +
                     "': expected tcp://127.0.0.1:PORT, ipc:///PATH or inproc://"};
  }
  const std::string_view rest = text.substr(6);
  if (is_loopback(rest)) return {};
  return error{
      errc::bad_config,
      "listen address '" + endpoint +
          "' is not loopback: refused, because peers have no keys yet; use tcp://127.0.0.1:PORT"};
}

}  // namespace headrace::actors
