#include "bench/cache_traces/key_stream.hpp"

#include "base/random.hpp"
#include "base/zipf.hpp"
#include "bench/cache_traces/xz_file.hpp"

#include <unordered_set>

namespace headrace::bench {
namespace {

constexpr double exponent = 0.99;
constexpr std::uint64_t seed = 42;

std::uint64_t key_of(std::uint64_t rank) { return mix64(rank) >> 1; }

}  // namespace

result<key_stream> read_trace(std::string_view name, const std::string& path, std::size_t width) {
  const auto content = read_xz(path);
  if (!content) return content.error();
  if (content->size() % width != 0)
    return error{errc::bad_input,
                 path + " is not made of keys of " + std::to_string(width) + " bytes"};
  key_stream read{std::string(name), {}, 0, 0};
  read.keys.reserve(content->size() / width);
  for (std::size_t at = 0; at < content->size(); at += width) {
    std::uint64_t key = 0;
    for (std::size_t i = 0; i < width; ++i)
      key = key << 8 | std::to_integer<std::uint64_t>((*content)[at + i]);
    read.keys.push_back(key);
  }
  read.distinct = std::unordered_set<std::uint64_t>(read.keys.begin(), read.keys.end()).size();
  return read;
}

result<std::vector<key_stream>> read_traces(const std::string& data) {
  struct recorded {
    const char* name;
    std::size_t width;
  };
  std::vector<key_stream> streams;
  for (const auto [name, width] : {recorded{"scarab-recs", 8}, {"web07", 4}, {"web12", 4}}) {
    auto stream = read_trace(name, data + "/open/traces/" + name + ".trace.xz", width);
    if (!stream) return stream.error();
    streams.push_back(std::move(*stream));
  }
  return streams;
}

key_stream zipf_stream(std::size_t rows, std::size_t uses, std::size_t batch) {
  key_stream made{"zipf-" + std::to_string(rows), {}, rows, uses / 2};
  if (batch > 1) made.name += "-batches-of-" + std::to_string(batch);
  made.keys.reserve(uses);
  const zipf_rejection_inversion draw(exponent, rows);
  random_stream random(seed);
  std::unordered_set<std::uint64_t> in_batch;
  while (made.keys.size() < uses) {
    const std::uint64_t rank = draw(random);
    if (batch > 1) {
      if (in_batch.size() == batch) in_batch.clear();
      if (!in_batch.insert(rank).second) continue;
    }
    made.keys.push_back(key_of(rank));
  }
  return made;
}

key_stream drifting_stream(std::size_t rows, std::size_t uses) {
  key_stream made{"zipf-" + std::to_string(rows) + "-drift-and-scan", {}, rows, uses / 2};
  made.keys.reserve(uses);
  const zipf_rejection_inversion draw(exponent, rows);
  random_stream random(seed);
  const std::size_t phase_uses = uses / 8;
  for (std::size_t i = 0; i < uses; ++i) {
    const std::uint64_t shift = i / phase_uses * (rows / 8);
    const std::uint64_t rank = i % 4 == 3 ? rows + i + 1 : (draw(random) + shift) % rows + 1;
    made.keys.push_back(key_of(rank));
  }
  return made;
}

}  // namespace headrace::bench
