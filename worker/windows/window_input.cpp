#include "worker/windows/window_input.hpp"

#include "base/byte_io.hpp"

namespace headrace::worker {

schemas::hash128 window_key(std::span<const std::string_view> texts) {
  if (texts.size() == 1) return schemas::hash128_of(std::as_bytes(std::span(texts[0])), 1);
  byte_writer all;  // lengths in between, so that "ab", "c" is not "a", "bc"
  for (const std::string_view text : texts) all.text(text);
  return schemas::hash128_of(all.take(), texts.size());
}

}  // namespace headrace::worker
