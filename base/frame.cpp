#include "base/frame.hpp"

#include "base/check.hpp"

#include <cstring>
#include <utility>

namespace headrace {

frame frame::copy_of(std::span<const std::byte> bytes) {
  frame made;
  if (bytes.empty()) return made;
  const std::size_t words = (bytes.size() + 7) / 8;
  std::shared_ptr<std::uint64_t[]> memory(new std::uint64_t[words]);
  memory.get()[words - 1] = 0;
  std::memcpy(memory.get(), bytes.data(), bytes.size());
  made.bytes_ = {reinterpret_cast<const std::byte*>(memory.get()), bytes.size()};
  made.keeper_ = std::move(memory);
  return made;
}

frame frame::sharing(std::span<const std::byte> bytes, std::shared_ptr<const void> keeper) {
  CHECK(is_aligned(bytes));
  frame made;
  made.bytes_ = bytes;
  made.keeper_ = std::move(keeper);
  return made;
}

}  // namespace headrace
