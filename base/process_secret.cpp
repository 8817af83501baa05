#include "base/process_secret.hpp"

#include <random>

namespace headrace {

std::uint64_t process_secret() {
  static const std::uint64_t secret = [] {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }();
  return secret;
}

}  // namespace headrace
