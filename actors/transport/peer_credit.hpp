#pragma once

#include "base/frame.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace headrace::actors {

/// Bytes that wait somewhere on this node, of all peers together.
///
/// Shared by whoever holds some of them, because sections and answers may outlive the router. The
/// counts here and in peer_credit guard no other memory, so relaxed order is enough; they are given
/// back on any thread.
class byte_budget {
 public:
  explicit byte_budget(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// False, and nothing taken, where there is no room.
  bool take(std::size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= bytes_max_) return true;
    give_back(bytes);
    return false;
  }
  void give_back(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> used_{0};
};

/// What one peer has in flight: its requests until their last section was answered and let go of,
/// their bytes, and the bytes of answers until ZeroMQ has sent them. So a peer that floods, and one
/// that does not read, runs out of its own credit and of nobody else's.
class peer_credit : public std::enable_shared_from_this<peer_credit> {
 public:
  /// Gives back what it stands for when the last copy goes; null when it was refused.
  using token = std::shared_ptr<const void>;

  /// Counted in a budget that outlives it.
  peer_credit(frame identity,
              std::shared_ptr<byte_budget> all,
              std::size_t bytes_max,
              std::uint32_t requests_max)
      : identity_(std::move(identity)),
        all_(std::move(all)),
        bytes_max_(bytes_max),
        requests_max_(requests_max) {}

  const frame& identity() const { return identity_; }

  /// Whether one more request of `bytes` is within the peer's bound. One of any size is, when
  /// nothing is in flight. Asked by the router's thread only, which alone adds requests.
  bool has_room(std::size_t bytes) const {
    const auto requests = requests_.load(std::memory_order_relaxed);
    const auto used = bytes_.load(std::memory_order_relaxed);
    return (requests == 0 && used == 0) || (requests < requests_max_ && used + bytes <= bytes_max_);
  }
  /// A request's room, shared by its sections; null when all peers together hold too much.
  token take_request(std::size_t bytes) { return take(bytes, 1); }
  /// An answer's room. Its request had credit, so only the bound of all peers can refuse it.
  token take_answer(std::size_t bytes) { return take(bytes, 0); }

 private:
  token take(std::size_t bytes, std::uint32_t requests) {
    if (!all_->take(bytes)) return nullptr;
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    requests_.fetch_add(requests, std::memory_order_relaxed);
    return {this, [self = shared_from_this(), bytes, requests](const void*) {
              self->bytes_.fetch_sub(bytes, std::memory_order_relaxed);
              self->requests_.fetch_sub(requests, std::memory_order_relaxed);
              self->all_->give_back(bytes);
            }};
  }

  frame identity_;
  std::shared_ptr<byte_budget> all_;
  const std::size_t bytes_max_;
  const std::uint32_t requests_max_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::uint32_t> requests_{0};
};

}  // namespace headrace::actors
