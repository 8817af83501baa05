#include "base/check.hpp"
#include "bench/rows64/peer_client.hpp"
#include "bench/rows64/plain_wire.hpp"

#include <zmq.hpp>

#include <cstring>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

constexpr int patience_ms = 20'000;

/// A frame over memory that outlives the socket: the pool.
template <class Value>
zmq::message_t view_of(const std::vector<Value>& values) {
  return zmq::message_t(
      const_cast<Value*>(values.data()),
      values.size() * sizeof(Value),
      [](void*, void*) {},
      nullptr);
}

class plain_client final : public peer_client {
 public:
  plain_client(zmq::context_t& context, const std::string& endpoint)
      : sending_(context, zmq::socket_type::dealer), answers_(context, zmq::socket_type::router) {
    sending_.set(zmq::sockopt::linger, 0);
    answers_.set(zmq::sockopt::linger, 0);
    answers_.set(zmq::sockopt::rcvtimeo, patience_ms);
    const bool ipc = endpoint.rfind("ipc://", 0) == 0;
    answers_.bind(ipc ? endpoint + ".answers" : "tcp://127.0.0.1:*");
    sending_.connect(endpoint);
    send_head({plain_head::kind::hello, 0, 0}, zmq::send_flags::sndmore);
    sending_.send(zmq::message_t(answers_.get(zmq::sockopt::last_endpoint)), zmq::send_flags::none);
  }

  std::uint64_t send_push(const row_batch& batch, schemas::value_codec) override {
    const plain_head head = head_of(plain_head::kind::push, batch);
    send_head(head, zmq::send_flags::sndmore);
    sending_.send(view_of(batch.keys), zmq::send_flags::sndmore);
    sending_.send(view_of(batch.values), zmq::send_flags::none);
    return head.request;
  }

  std::uint64_t send_pull(const row_batch& batch, schemas::value_codec) override {
    const plain_head head = head_of(plain_head::kind::pull, batch);
    send_head(head, zmq::send_flags::sndmore);
    sending_.send(view_of(batch.keys), zmq::send_flags::none);
    return head.request;
  }

  result<std::uint64_t> wait() override {
    zmq::message_t identity;
    zmq::message_t head;
    if (!answers_.recv(identity))
      return error{errc::timeout, "the plain server did not answer in 20 s"};
    (void)answers_.recv(head);
    plain_head answered;
    CHECK(head.size() == sizeof answered);
    std::memcpy(&answered, head.data(), sizeof answered);
    if (head.more()) {
      zmq::message_t keys;
      zmq::message_t values;
      (void)answers_.recv(keys);
      (void)answers_.recv(values);
      rows_.resize(values.size() / sizeof(float));
      std::memcpy(rows_.data(), values.data(), values.size());
    }
    return answered.request;
  }

  void copy_rows(const row_batch& batch, std::span<float> rows) const override {
    CHECK(rows_.size() == batch.rows() * row_dim);
    CHECK(rows.size() == rows_.size());
    std::memcpy(rows.data(), rows_.data(), rows.size_bytes());
  }

 private:
  plain_head head_of(plain_head::kind what, const row_batch& batch) {
    return {what, static_cast<std::uint32_t>(batch.rows()), next_request_++};
  }
  void send_head(const plain_head& head, zmq::send_flags flags) {
    sending_.send(zmq::message_t(&head, sizeof head), flags);
  }

  zmq::socket_t sending_;
  zmq::socket_t answers_;
  std::uint64_t next_request_ = 0;
  std::vector<float> rows_;
};

}  // namespace

std::unique_ptr<peer_client> connect_plain(actors::transport_context& context,
                                           const std::string& endpoint) {
  return std::make_unique<plain_client>(*static_cast<zmq::context_t*>(context.native()), endpoint);
}

}  // namespace headrace::bench
