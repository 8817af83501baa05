#include "storage/checkpoint_archive.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "base/sha256.hpp"
#include "storage/local_object_store.hpp"
#include "storage/test_s3_server.hpp"

#include <benchmark/benchmark.h>

#include <cstring>

/// Uploads of a checkpoint of 1 GiB in 16 files: all of it, and the next one with one new file of
/// 16; beside them the limits of the machine: SHA-256 alone, and a synced copy of the same files.
/// In wall time; the files are in the page cache.
namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t file_count = 16;
constexpr std::size_t file_bytes = std::size_t{64} << 20;

archived_checkpoint about() {
  archived_checkpoint checkpoint;
  checkpoint.job = "bench";
  return checkpoint;
}

std::string file_name(std::size_t i) { return "rows/" + std::to_string(i) + ".sst"; }

void write_file(const fs::path& path, std::uint64_t seed) {
  std::vector<std::uint64_t> words(file_bytes / 8);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = mix64(seed + i);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(words.data()), file_bytes);
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
}

// One folder for all benchmarks: making it takes longer than using it.
const fs::path& checkpoint_folder() {
  static const temporary_folder folder;
  static const fs::path path = [] {
    fs::create_directories(folder.path() / "rows");
    for (std::size_t i = 0; i < file_count; ++i) write_file(folder.path() / file_name(i), i << 40);
    return folder.path();
  }();
  return path;
}

void hash_alone(benchmark::State& state) {
  const std::vector<std::byte> bytes(file_bytes, std::byte{7});
  for (auto step : state) benchmark::DoNotOptimize(sha256_hex(bytes));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file_bytes));
}
BENCHMARK(hash_alone)->Iterations(8);

void copy_and_sync(benchmark::State& state) {
  const fs::path& from = checkpoint_folder();
  for (auto step : state) {
    const temporary_folder to;
    for (std::size_t i = 0; i < file_count; ++i) {
      const fs::path copy = to.path() / std::to_string(i);
      fs::copy_file(from / file_name(i), copy);
      CHECK(::fdatasync(open_file(copy, O_RDONLY)->get()) == 0);
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file_count * file_bytes));
}
BENCHMARK(copy_and_sync)->Iterations(3)->UseRealTime()->Unit(benchmark::kMillisecond);

template <class OpenStore>
void upload_all(benchmark::State& state, OpenStore&& open_store) {
  const fs::path& from = checkpoint_folder();
  const system_clock time;
  for (auto step : state) {
    state.PauseTiming();
    auto place = open_store();
    checkpoint_archive archive(std::move(place.store), time, {});
    state.ResumeTiming();
    const auto done = archive.upload(from, about());
    CHECK(done.ok());
    CHECK(done->bytes_uploaded == file_count * file_bytes);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file_count * file_bytes));
}

template <class OpenStore>
void upload_next(benchmark::State& state, OpenStore&& open_store) {
  const fs::path& from = checkpoint_folder();
  const system_clock time;
  auto place = open_store();
  checkpoint_archive archive(std::move(place.store), time, {});
  CHECK(archive.upload(from, about()).ok());
  static std::uint64_t seed = file_count;  // contents that no benchmark has had yet
  for (auto step : state) {
    state.PauseTiming();
    write_file(from / file_name(0), seed++ << 40);
    state.ResumeTiming();
    const auto done = archive.upload(from, about());
    CHECK(done.ok());
    CHECK(done->bytes_uploaded == file_bytes);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file_count * file_bytes));
}

template <class OpenStore>
void download_all(benchmark::State& state, OpenStore&& open_store) {
  const system_clock time;
  auto place = open_store();
  checkpoint_archive archive(std::move(place.store), time, {});
  const std::string id = archive.upload(checkpoint_folder(), about())->id;
  for (auto step : state) {
    const temporary_folder to;
    CHECK(archive.download(id, to.path()).ok());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file_count * file_bytes));
}

struct place {
  std::unique_ptr<temporary_folder> folder;
  std::unique_ptr<s3_test_server> server;
  std::unique_ptr<object_store> store;
};

place in_folder() {
  place made{std::make_unique<temporary_folder>(), nullptr, nullptr};
  made.store = std::move(*local_object_store::open(made.folder->path()));
  return made;
}

place in_s3() {
  auto server = s3_test_server::start();
  CHECK(server.has_value());
  auto settings = server->settings();
  settings.limits.stall = std::chrono::seconds(30);
  return {nullptr,
          std::make_unique<s3_test_server>(std::move(*server)),
          std::make_unique<s3_object_store>(settings)};
}

BENCHMARK_CAPTURE(upload_all, file, in_folder)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(upload_next, file, in_folder)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(download_all, file, in_folder)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(upload_all, s3, in_s3)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(upload_next, s3, in_s3)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(download_all, s3, in_s3)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::storage
