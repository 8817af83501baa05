#pragma once

#include <cstdint>

namespace headrace::bench {

/// First frame of every message between the plain server and its client; keys and values follow as
/// frames of their own, as ps-lite sends them. `hello` carries the client's endpoint as its second
/// frame; `stop` never travels.
struct plain_head {
  enum class kind : std::uint32_t { hello = 0, push = 1, pull = 2, stop = 3 };
  kind what = kind::hello;
  std::uint32_t rows = 0;
  std::uint64_t request = 0;
};

}  // namespace headrace::bench
