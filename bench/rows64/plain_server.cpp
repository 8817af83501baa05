// The stand-in for ps-lite: what its server does for rows of 64 floats, without its code (notes:
// baselines §2a).
//
// - One ROUTER socket to receive on, one DEALER to each peer to answer on; the receiving thread
// wraps frames without
//   copying and puts messages into a mutex-and-condition queue that wakes everyone.
// - One handler thread takes them out, looks each key up in an unordered_map to an inline array,
// adds or copies 64
//   floats, and answers itself.
// - A pull allocates and zero-fills its answer, copies rows into it, and echoes the keys.
#include "base/check.hpp"
#include "bench/rows64/plain_wire.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/workload.hpp"

#include <zmq.hpp>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

namespace headrace::bench {
namespace {

struct plain_message {
  plain_head head;
  zmq::message_t keys;  // of a hello: the client's endpoint
  zmq::message_t values;
};

/// Many writers, one reader that sleeps on a condition.
class message_queue {
 public:
  void put(plain_message message) {
    {
      const std::lock_guard lock(mutex_);
      messages_.push(std::move(message));
    }
    filled_.notify_all();
  }
  plain_message take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return !messages_.empty(); });
    plain_message message = std::move(messages_.front());
    messages_.pop();
    return message;
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::queue<plain_message> messages_;
};

class plain_server final : public server {
 public:
  explicit plain_server(const std::string& listen)
      : receiving_(context_, zmq::socket_type::router),
        answering_(context_, zmq::socket_type::dealer) {
    receiving_.set(zmq::sockopt::linger, 0);
    answering_.set(zmq::sockopt::linger, 0);
    receiving_.bind(listen);
    endpoint_ = receiving_.get(zmq::sockopt::last_endpoint);
    handler_ = std::thread([this] { handle_all(); });
    receiver_ = std::thread([this] { receive_all(); });
  }
  ~plain_server() override {
    context_.shutdown();  // both threads come out of their sockets
    receiver_.join();
    handler_.join();
  }

  const std::string& endpoint() const override { return endpoint_; }

 private:
  void receive_all() {
    try {
      receive_for_ever();
    } catch (const zmq::error_t&) {  // the context is shut down
      queue_.put({{plain_head::kind::stop, 0, 0}, {}, {}});
    }
  }

  void receive_for_ever() {
    while (true) {
      zmq::message_t identity;
      zmq::message_t head;
      plain_message message;
      if (!receiving_.recv(identity) || !receiving_.recv(head)) continue;
      CHECK(head.size() == sizeof message.head);
      std::memcpy(&message.head, head.data(), sizeof message.head);
      bool more = head.more();
      if (more) {
        (void)receiving_.recv(message.keys);
        more = message.keys.more();
      }
      if (more) (void)receiving_.recv(message.values);
      queue_.put(std::move(message));
    }
  }

  void handle_all() {
    while (true) {
      plain_message message = queue_.take();
      if (message.head.what == plain_head::kind::stop) return;
      try {
        handle(message);
      } catch (const zmq::error_t&) {  // the context is shut down: `stop` follows
      }
    }
  }

  void handle(plain_message& message) {
    switch (message.head.what) {
      case plain_head::kind::hello:
        return answering_.connect(message.keys.to_string());
      case plain_head::kind::push:
        return push(message);
      case plain_head::kind::pull:
        return pull(message);
      case plain_head::kind::stop:
        return;
    }
  }

  /// Frames of 33 to about 8183 bytes arrive unaligned (notes stack §2.3); a load is a load.
  static std::uint64_t key_at(const zmq::message_t& keys, std::size_t i) {
    std::uint64_t key = 0;
    std::memcpy(&key, static_cast<const std::byte*>(keys.data()) + i * sizeof key, sizeof key);
    return key;
  }

  void push(plain_message& message) {
    const auto* values = static_cast<const float*>(message.values.data());
    for (std::size_t i = 0; i < message.head.rows; ++i) {
      auto& row = rows_[key_at(message.keys, i)];
      for (std::size_t c = 0; c < row_dim; ++c) row[c] += values[i * row_dim + c];
    }
    answer_head(message, zmq::send_flags::none);
  }

  void pull(plain_message& message) {
    const std::size_t floats = message.head.rows * row_dim;
    auto* values = new float[floats]();
    for (std::size_t i = 0; i < message.head.rows; ++i) {
      const auto& row = rows_[key_at(message.keys, i)];
      std::memcpy(values + i * row_dim, row.data(), sizeof row);
    }
    answer_head(message, zmq::send_flags::sndmore);
    answering_.send(message.keys, zmq::send_flags::sndmore);
    zmq::message_t body(
        values,
        floats * sizeof(float),
        [](void* data, void*) { delete[] static_cast<float*>(data); },
        nullptr);
    answering_.send(body, zmq::send_flags::none);
  }

  void answer_head(const plain_message& message, zmq::send_flags flags) {
    answering_.send(zmq::message_t(&message.head, sizeof message.head), flags);
  }

  zmq::context_t context_{1};
  zmq::socket_t receiving_;  // used by the receiver only, after construction
  zmq::socket_t answering_;  // used by the handler only
  std::string endpoint_;
  message_queue queue_;
  std::unordered_map<std::uint64_t, std::array<float, row_dim>> rows_;
  std::thread handler_;
  std::thread receiver_;
};

}  // namespace

std::unique_ptr<server> start_plain_server(const std::string& listen) {
  return std::make_unique<plain_server>(listen);
}

}  // namespace headrace::bench
