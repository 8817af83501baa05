#include "base/process_secret.hpp"

#include <random>

namespace headrace {

std::uint64_t drawn_number() {
  std::random_device device;
  return (std::uint64_t{device()} << 32 | device()) | 1U;
}

std::uint64_t process_secret() {
  static const std::uint64_t secret = drawn_number();
  return secret;
}

}  // namespace headrace
