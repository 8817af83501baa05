#include "bench/gates/gate_options.hpp"
#include "storage/file_io.hpp"
#include "storage/segment_log.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

/// `bench log`: appends of one int8 push of 4096 rows each beside write(2) of the same bytes to
/// files of the same size, with the same durability: mode `os`, and mode `fsync` beside
/// fdatasync(2) after each. One at a time. Full files are removed, so that the disk's own rate
/// stays out of mode `os`; removing is not timed, which threads of the I/O pool do.
namespace headrace::bench {
namespace {

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t payload_bytes = 4'096 * 76;
constexpr std::uint64_t segment_bytes = std::uint64_t{64} << 20;

double since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

/// Time that passed but for what happened in `untimed`.
class stopwatch {
 public:
  double seconds() const { return since(begin_) - untimed_; }
  template <class Work>
  auto untimed(Work&& work) {
    const auto begin = clock_type::now();
    auto made = work();
    untimed_ += since(begin);
    return made;
  }

 private:
  clock_type::time_point begin_ = clock_type::now();
  double untimed_ = 0;
};

result<void> to_result(bool good, const char* what) {
  if (good) return {};
  return error{errc::io_error, std::string("cannot ") + what};
}

/// Bytes a second of appends, one at a time.
result<double> append_rate(const fs::path& folder, schemas::log_mode mode, double seconds) {
  storage::segment_log::options how;
  how.folder = folder;
  how.mode = mode;
  how.segment_bytes = segment_bytes;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  storage::log_record record;
  record.payload = frame::copy_of(std::vector<std::byte>(payload_bytes, std::byte{7}));
  stopwatch time;
  std::uint64_t at = 0;
  while (time.seconds() < seconds) {
    record.lsn = lsn{++at};
    std::promise<bool> committed;
    (*log)->append(std::span(&record, 1), lsn{at - 1}, [&](const storage::append_outcome& outcome) {
      committed.set_value(outcome.state == storage::append_state::committed);
    });
    if (auto good = to_result(committed.get_future().get(), "append"); !good) return good.error();
    if (at % 256 != 0) continue;
    const auto cut = time.untimed([&] { return (*log)->truncate_before((*log)->last().last); });
    if (!cut) return cut.error();
  }
  return static_cast<double>(at * payload_bytes) / time.seconds();
}

/// The same bytes, header included, by write(2), one behind the other.
result<double> write_rate(const fs::path& folder, schemas::log_mode mode, double seconds) {
  const std::vector<std::byte> bytes(payload_bytes + storage::record_header_bytes, std::byte{7});
  std::vector<fs::path> full;
  storage::file_handle file;
  stopwatch time;
  std::uint64_t written = segment_bytes;
  std::uint64_t count = 0;
  for (; time.seconds() < seconds; ++count) {
    if (written + bytes.size() > segment_bytes) {
      full.push_back(folder / std::to_string(count));
      auto opened = storage::open_file(full.back(), O_WRONLY | O_CREAT);
      if (!opened) return opened.error();
      file = std::move(*opened);
      written = 0;
      if (full.size() > 2) {
        time.untimed([&] { return fs::remove(full.front()); });
        full.erase(full.begin());
      }
    }
    const auto wrote = ::write(file.get(), bytes.data(), bytes.size());
    const bool whole = wrote == static_cast<::ssize_t>(bytes.size()) &&
                       (mode == schemas::log_mode::os || ::fdatasync(file.get()) == 0);
    if (auto good = to_result(whole, "write"); !good) return good.error();
    written += bytes.size();
  }
  return static_cast<double>(count * payload_bytes) / time.seconds();
}

/// Both, round by round, in turns.
result<gate_point> compare(const gate_options& asked, schemas::log_mode mode) {
  const bool os = mode == schemas::log_mode::os;
  gate_point point{.what = os ? "append, mode os" : "append, mode fsync", .unit = "bytes/s"};
  point.beside = os ? "write(2) of the same bytes" : "write(2) and fdatasync(2) of the same bytes";
  point.kind = gate_kind::ratio_at_least;
  point.gate = 0.8;
  const fs::path plain = asked.dir / "plain";
  fs::create_directories(plain);
  for (std::uint32_t round = 0; round < 2 * asked.rounds; ++round) {
    const bool ours_first = round % 2 == 0;
    for (const bool ours : {ours_first, !ours_first}) {
      const auto log = asked.dir / ("log-" + std::to_string(round));
      auto rate =
          ours ? append_rate(log, mode, asked.seconds) : write_rate(plain, mode, asked.seconds);
      if (!rate) return rate.error();
      (ours ? point.ours : point.others).push_back(*rate);
      std::error_code ignored;
      fs::remove_all(log, ignored);
    }
  }
  return point;
}

}  // namespace

result<gate_report> measure_log(const gate_options& asked) {
  gate_report report;
  report.bench = "log";
  report.workload = "records of 311 KB (an int8 push of 4096 rows), one at a time";
  for (const auto mode : {schemas::log_mode::os, schemas::log_mode::fsync}) {
    auto point = compare(asked, mode);
    if (!point) return point.error();
    report.points.push_back(std::move(*point));
  }
  return report;
}

}  // namespace headrace::bench
