#include "storage/segment_log.hpp"

#include "base/check.hpp"
#include "storage/crc32c.hpp"
#include "storage/file_io.hpp"
#include "storage/temporary_folder.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <vector>

/// Appends against the limits of the machine: write(2) of the same bytes to files of the same size,
/// and CRC32C alone. Files are removed as they fill up, so that the disk's own rate stays out of
/// it.
namespace headrace::storage {
namespace {

constexpr std::uint64_t segment_bytes = std::uint64_t{64} << 20;

frame payload_of(std::size_t size) {
  const std::vector<std::byte> bytes(size, std::byte{7});
  return frame::copy_of(bytes);
}

void plain_write(benchmark::State& state, std::size_t extra_bytes) {
  const temporary_folder folder;
  const auto path = folder.path() / "file";
  const auto payload = payload_of(static_cast<std::size_t>(state.range(0)) + extra_bytes);
  const bool reserve = state.range(1) != 0;
  file_handle file;
  std::uint64_t written = segment_bytes;
  for (auto step : state) {
    if (written + payload.size() > segment_bytes) {
      std::filesystem::remove(path);
      file = std::move(*open_file(path, O_RDWR | O_CREAT));
      if (reserve) CHECK(::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, segment_bytes) == 0);
      written = 0;
    }
    const auto wrote =
        ::pwrite(file.get(), payload.bytes().data(), payload.size(), static_cast<::off_t>(written));
    CHECK(wrote == static_cast<::ssize_t>(payload.size()));
    written += payload.size();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
void plain_arguments(benchmark::internal::Benchmark* one) {
  one->ArgsProduct({{16 << 10, 256 << 10, 1 << 20}, {0, 1}})->ArgNames({"bytes", "fallocate"});
}
BENCHMARK_CAPTURE(plain_write, pages, 0)->Apply(plain_arguments);
// The bytes that `append` writes, one behind the other: what it is measured against.
BENCHMARK_CAPTURE(plain_write, records, record_header_bytes)->Apply(plain_arguments);

// The same file again and again: what reusing extents and page cache would give.
void plain_overwrite(benchmark::State& state) {
  const temporary_folder folder;
  const auto payload = payload_of(static_cast<std::size_t>(state.range(0)));
  const file_handle file = std::move(*open_file(folder.path() / "file", O_RDWR | O_CREAT));
  std::uint64_t at = 0;
  for (auto step : state) {
    if (at + payload.size() > segment_bytes) at = 0;
    const auto wrote =
        ::pwrite(file.get(), payload.bytes().data(), payload.size(), static_cast<::off_t>(at));
    CHECK(wrote == static_cast<::ssize_t>(payload.size()));
    at += payload.size();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(plain_overwrite)->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20);

void checksum(benchmark::State& state) {
  const auto payload = payload_of(static_cast<std::size_t>(state.range(0)));
  for (auto step : state) benchmark::DoNotOptimize(crc32c(payload.bytes()));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20);

void append(benchmark::State& state, schemas::log_mode mode) {
  const temporary_folder folder;
  segment_log::options how;
  how.folder = folder.path();
  how.mode = mode;
  how.segment_bytes = segment_bytes;
  auto log = std::move(*segment_log::open(std::move(how)));
  log_record record;
  record.payload = payload_of(static_cast<std::size_t>(state.range(0)));
  std::uint64_t at = 0;
  for (auto step : state) {
    record.lsn = lsn{++at};
    log->append(std::span(&record, 1), lsn{at - 1}, [](const append_outcome& outcome) {
      CHECK(outcome.state == append_state::committed);
    });
    if (at % 64 == 0) CHECK(log->truncate_before(log->last().last).ok());
  }
  CHECK(log->close().ok());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(append, os, schemas::log_mode::os)
    ->Arg(200)
    ->Arg(16 << 10)
    ->Arg(256 << 10)
    ->Arg(1 << 20);
BENCHMARK_CAPTURE(append, none, schemas::log_mode::none)
    ->Arg(200)
    ->Arg(16 << 10)
    ->Arg(256 << 10)
    ->Arg(1 << 20);

// One append in flight, or as many as come while the disk syncs.
void append_fsync(benchmark::State& state) {
  const temporary_folder folder;
  segment_log::options how;
  how.folder = folder.path();
  how.mode = schemas::log_mode::fsync;
  auto log = std::move(*segment_log::open(std::move(how)));
  const auto depth = static_cast<std::uint64_t>(state.range(0));
  log_record record;
  record.payload = payload_of(16 << 10);
  std::uint64_t at = 0;
  std::mutex mutex;
  std::condition_variable moved;
  std::uint64_t settled = 0;
  for (auto step : state) {
    record.lsn = lsn{++at};
    log->append(std::span(&record, 1), lsn{at - 1}, [&](const append_outcome& outcome) {
      CHECK(outcome.state == append_state::committed);
      const std::lock_guard lock(mutex);
      ++settled;
      moved.notify_one();
    });
    std::unique_lock lock(mutex);
    moved.wait(lock, [&] { return at - settled < depth; });
  }
  CHECK(log->close().ok());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(append_fsync)->Arg(1)->Arg(8)->Arg(64)->Arg(128)->UseRealTime();

// As many records as one group holds, written by one call, and fdatasync.
void plain_fsync(benchmark::State& state) {
  const temporary_folder folder;
  const auto path = folder.path() / "file";
  const auto depth = state.range(0);
  const auto bytes = static_cast<std::size_t>(depth) * ((16 << 10) + record_header_bytes);
  const auto payload = payload_of(bytes);
  file_handle file;
  std::uint64_t written = segment_bytes;
  for (auto step : state) {
    if (written + bytes > segment_bytes) {
      file = std::move(*open_file(path, O_RDWR | O_CREAT | O_TRUNC));
      written = 0;
    }
    const auto wrote =
        ::pwrite(file.get(), payload.bytes().data(), bytes, static_cast<::off_t>(written));
    CHECK(wrote == static_cast<::ssize_t>(bytes));
    CHECK(::fdatasync(file.get()) == 0);
    written += bytes;
  }
  state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(plain_fsync)->Arg(1)->Arg(8)->Arg(64)->UseRealTime();

void read_back(benchmark::State& state) {
  const temporary_folder folder;
  segment_log::options how;
  how.folder = folder.path();
  how.mode = schemas::log_mode::os;
  auto log = std::move(*segment_log::open(how));
  log_record record;
  record.payload = payload_of(static_cast<std::size_t>(state.range(0)));
  const std::uint64_t count = (std::uint64_t{256} << 20) / record.payload.size();
  for (std::uint64_t at = 1; at <= count; ++at) {
    record.lsn = lsn{at};
    log->append(std::span(&record, 1), lsn{at - 1}, [](const append_outcome&) {});
  }
  for (auto step : state) {
    std::uint64_t seen = 0;
    CHECK(log->read_from(lsn{1}, [&](const log_record&) { return ++seen > 0; }).ok());
    CHECK(seen == count);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(count) * state.range(0));
}
BENCHMARK(read_back)->Arg(200)->Arg(16 << 10)->Arg(1 << 20)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::storage
