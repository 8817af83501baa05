#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace headrace::schemas {

/// Keeps copies of texts that come and go together: chunks that never move, so views stay valid
/// until `clear`, or `back_to` a place before them. Memory is kept for what comes next.
class text_arena {
 public:
  struct place {
    std::size_t chunk = 0;
    std::size_t used = 0;  // of that chunk
  };

  std::string_view keep(std::string_view text) {
    if (text.empty()) return {};
    char* to = room(text.size());
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }

  place end() const { return end_; }
  void back_to(place end) { end_ = end; }
  void clear() { end_ = {}; }

 private:
  static constexpr std::size_t chunk_bytes = std::size_t{256} << 10;
  struct chunk {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };

  char* room(std::size_t bytes) {
    while (end_.chunk < chunks_.size() && chunks_[end_.chunk].size - end_.used < bytes)
      end_ = {end_.chunk + 1, 0};
    if (end_.chunk == chunks_.size()) {
      const std::size_t size = bytes > chunk_bytes ? bytes : chunk_bytes;
      chunks_.push_back({std::make_unique_for_overwrite<char[]>(size), size});
    }
    char* at = chunks_[end_.chunk].bytes.get() + end_.used;
    end_.used += bytes;
    return at;
  }

  std::vector<chunk> chunks_;
  place end_;
};

}  // namespace headrace::schemas
