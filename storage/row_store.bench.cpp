#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/temporary_folder.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

/// Rows a second into and out of RocksDB, at random keys of a space of a million. Payloads are
/// random bits, as weights are: they hardly compress.
namespace headrace::storage {
namespace {

constexpr std::uint64_t key_space = 1'000'000;
constexpr std::uint64_t commit_rows = 1'000'000;

class row_batch {
 public:
  row_batch(std::size_t rows, std::size_t row_bytes)
      : rows_(rows), words_(rows * words(row_bytes)) {
    for (auto& word : words_) word = static_cast<std::uint32_t>(draw_.next());
    for (std::size_t i = 0; i < rows; ++i) {
      rows_[i].table = table_id{1};
      rows_[i].payload =
          std::as_bytes(std::span(words_).subspan(i * words(row_bytes), words(row_bytes)));
    }
  }
  std::span<const stored_row> next(std::uint64_t space = key_space) {
    for (auto& row : rows_) {
      row.key = row_key{mix64(draw_.next_below(space))};
      row.lsn = lsn{++lsn_};
    }
    return rows_;
  }
  // Every key once, in `rows` at a time.
  std::span<const stored_row> at(std::uint64_t first) {
    for (auto& row : rows_) row.key = row_key{mix64(first++)};
    return rows_;
  }

 private:
  static std::size_t words(std::size_t row_bytes) { return (row_bytes - row_header_bytes) / 4; }

  random_stream draw_{1};
  std::uint64_t lsn_ = 0;
  std::vector<stored_row> rows_;
  std::vector<std::uint32_t> words_;
};

std::unique_ptr<rocks_row_store> open_store(const std::filesystem::path& path,
                                            io_pool* pool = nullptr) {
  rocks_row_store::options how;
  how.path = path;
  how.pool = pool;
  auto opened = rocks_row_store::open(std::move(how));
  CHECK(opened.ok());
  return std::move(*opened);
}

// What this process has written to files, merges included.
std::uint64_t bytes_written() {
  std::ifstream in("/proc/self/io");
  std::string name;
  std::uint64_t bytes = 0;
  while (in >> name >> bytes) {
    if (name == "wchar:") return bytes;
  }
  return 0;
}

// Long enough, the rate is that of merges: writes wait for them.
void write_rows(benchmark::State& state) {
  const auto row_bytes = static_cast<std::size_t>(state.range(0));
  const temporary_folder folder;
  const auto store = open_store(folder.path());
  row_batch batch(static_cast<std::size_t>(state.range(1)), row_bytes);
  const std::uint64_t before = bytes_written();
  std::uint64_t rows = 0;
  std::uint64_t committed = 0;
  for (auto step : state) {
    state.PauseTiming();
    const auto next = batch.next();
    state.ResumeTiming();
    CHECK(store->write(shard_id{0}, next).ok());
    rows += next.size();
    if (rows - committed < commit_rows) continue;
    CHECK(store->commit(shard_id{0}, {lsn{rows}, epoch{1}, {}}).ok());
    committed = rows;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
  state.counters["write_amplification"] = static_cast<double>(bytes_written() - before) /
                                          static_cast<double>(rows * (row_key_bytes + row_bytes));
}
BENCHMARK(write_rows)
    ->ArgsProduct({{72, 288, 544}, {1 << 10, 4 << 10, 64 << 10}})
    ->ArgNames({"row_bytes", "batch"})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(write_rows)
    ->Name("write_rows_sustained")
    ->ArgsProduct({{544}, {4 << 10, 64 << 10}})
    ->ArgNames({"row_bytes", "batch"})
    ->UseRealTime()
    ->MinTime(15)
    ->Unit(benchmark::kMillisecond);

enum class where { block_cache, page_cache, disk, nowhere };

void forget_page_cache(const std::filesystem::path& path) {
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() != ".sst") continue;
    const file_handle file = std::move(*open_file(entry.path(), O_RDONLY));
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

std::vector<row_key> draw_keys(random_stream& draw, where from) {
  constexpr std::uint64_t cached_keys = 8'000;  // their blocks fit the cache
  std::vector<row_key> keys(4096);
  for (auto& key : keys) {
    const auto drawn = draw.next_below(from == where::block_cache ? cached_keys : key_space);
    key = row_key{mix64(from == where::nowhere ? drawn + key_space : drawn)};
  }
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

void read_rows(benchmark::State& state, where from) {
  const temporary_folder folder;
  std::unique_ptr<io_pool> pool;
  if (state.range(1) > 0) pool = std::make_unique<io_pool>(static_cast<unsigned>(state.range(1)));
  const auto store = open_store(folder.path(), pool.get());
  constexpr std::size_t at_once = 50'000;
  row_batch batch(at_once, static_cast<std::size_t>(state.range(0)));
  for (std::uint64_t first = 0; first < key_space; first += at_once) {
    CHECK(store->write(shard_id{0}, batch.at(first)).ok());
  }
  CHECK(store->compact().ok());
  random_stream draw(2);
  std::int64_t asked = 0;
  std::int64_t found = 0;
  for (auto step : state) {
    state.PauseTiming();
    const auto keys = draw_keys(draw, from);
    if (from == where::disk) forget_page_cache(folder.path());
    state.ResumeTiming();
    CHECK(store->read(shard_id{0}, table_id{1}, keys, [&](const stored_row&) { ++found; }).ok());
    asked += static_cast<std::int64_t>(keys.size());
  }
  CHECK(found == (from == where::nowhere ? 0 : asked));
  state.SetItemsProcessed(asked);
}
void read_arguments(benchmark::internal::Benchmark* one) {
  one->ArgsProduct({{72, 544}, {0, 4}})
      ->ArgNames({"row_bytes", "pool"})
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(read_rows, block_cache, where::block_cache)->Apply(read_arguments);
BENCHMARK_CAPTURE(read_rows, page_cache, where::page_cache)->Apply(read_arguments);
BENCHMARK_CAPTURE(read_rows, disk, where::disk)->Apply(read_arguments);
BENCHMARK_CAPTURE(read_rows, absent, where::nowhere)->Apply(read_arguments);

}  // namespace
}  // namespace headrace::storage
