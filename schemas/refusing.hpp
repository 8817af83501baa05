#pragma once

#include "schemas/event.hpp"

#include <cstdint>
#include <utility>

namespace headrace::schemas {

/// The ack of a batch of which nothing was taken.
inline event_ack refusing(error why, std::uint32_t retry_after_ms = 0) {
  event_ack ack;
  ack.status = why.code;
  ack.detail = std::move(why.detail);
  ack.retry_after_ms = retry_after_ms;
  return ack;
}

}  // namespace headrace::schemas
