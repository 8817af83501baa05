#pragma once

#include "base/frame.hpp"

#include <zmq.hpp>

#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

/// Between `frame` and `zmq::message_t`, without copies wherever alignment allows.
namespace headrace::actors {

/// A message that shares the frame's memory and lets go of it, and of `room`, when ZeroMQ has sent
/// it (over inproc: when the receiver has let go of it).
inline zmq::message_t to_message(const frame& bytes, std::shared_ptr<const void> room = nullptr) {
  if (bytes.empty()) return zmq::message_t{};
  using kept = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
  auto* keeper = new kept(bytes.keeper(), std::move(room));
  return zmq::message_t(
      const_cast<std::byte*>(bytes.bytes().data()),  // ZeroMQ only reads it
      bytes.size(),
      [](void*, void* hint) { delete static_cast<kept*>(hint); },
      keeper);
}

/// A frame over a received message. Frames of 33 to about 8183 bytes arrive unaligned over tcp and
/// ipc (measured, notes stack §2.3): those are copied, they are small.
inline frame to_frame(zmq::message_t&& message) {
  const std::span<const std::byte> bytes{static_cast<const std::byte*>(message.data()),
                                         message.size()};
  if (!frame::is_aligned(bytes)) return frame::copy_of(bytes);
  auto kept = std::make_shared<zmq::message_t>(std::move(message));
  // Very small messages live inside message_t itself: take the address after the move.
  const std::span<const std::byte> here{static_cast<const std::byte*>(kept->data()), kept->size()};
  if (!frame::is_aligned(here)) return frame::copy_of(here);
  return frame::sharing(here, std::move(kept));
}

/// Sleeps until one of the items is ready; a signal handler that ran meanwhile is no event.
template <std::size_t n>
void poll(zmq::pollitem_t (&items)[n]) {
  while (true) {
    try {
      zmq::poll(items, n, std::chrono::milliseconds(-1));
      return;
    } catch (const zmq::error_t& failure) {
      if (failure.num() != EINTR) throw;
    }
  }
}

}  // namespace headrace::actors
