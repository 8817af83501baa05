#include "bench/cache_traces/xz_file.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <lzma.h>

namespace headrace::bench {

result<std::vector<std::byte>> read_xz(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return error{errc::not_found, "no file " + path};
  const std::vector<char> packed{std::istreambuf_iterator<char>(file), {}};

  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK)
    return error{errc::io_error, "no xz decoder for " + path};
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  std::vector<std::byte> content;
  lzma_ret state = LZMA_OK;
  while (state == LZMA_OK) {
    const std::size_t done = content.size();
    content.resize(std::max<std::size_t>(done * 2, 1U << 20));
    stream.next_out = reinterpret_cast<std::uint8_t*>(content.data()) + done;
    stream.avail_out = content.size() - done;
    state = lzma_code(&stream, LZMA_FINISH);
    content.resize(content.size() - stream.avail_out);
  }
  lzma_end(&stream);
  if (state != LZMA_STREAM_END) return error{errc::bad_input, "damaged xz data in " + path};
  return content;
}

}  // namespace headrace::bench
