#include "base/check.hpp"
#include "storage/segment_log.hpp"
#include "tests/fuzz/file_in_memory.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

/// A log's folder of two files as `open` finds it: torn tails, files that do not follow each other,
/// files that never got a record. Opened for reading and then for writing: both see the same.
namespace {

using namespace headrace;
using namespace headrace::storage;

void write_file(const std::string& path, const std::uint8_t* data, std::size_t size) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  CHECK(::write(file, data, size) == static_cast<::ssize_t>(size));
  ::close(file);
}

result<std::uint64_t> count_records(segment_log& log) {
  std::uint64_t records = 0;
  auto read = log.read_from(lsn{1}, [&](const log_record&) {
    ++records;
    return true;
  });
  if (!read) return read.error();
  return records;
}

}  // namespace

// The first two bytes say where the first file ends, and the second begins.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::folder_in_memory folder;
  if (size < 2) return 0;
  const std::size_t rest = size - 2;
  const std::size_t cut = std::min<std::size_t>(rest, data[0] + 256U * data[1]);
  const std::string first = folder.path() + "/" + segment_name(lsn{1});
  const std::string second = folder.path() + "/" + segment_name(lsn{3});
  write_file(first, data + 2, cut);
  if (cut < rest) {
    write_file(second, data + 2 + cut, rest - cut);
  } else {
    ::unlink(second.c_str());
  }
  segment_log::options how;
  how.folder = folder.path();
  how.mode = schemas::log_mode::os;
  how.read_only = true;
  auto reader = segment_log::open(how);
  how.read_only = false;
  if (!reader) {
    CHECK(!reader.error().detail.empty());
    if (data[0] % 8 == 0) CHECK(!segment_log::open(how).ok());
  } else {
    const auto seen = count_records(**reader);
    CHECK(seen.ok());
    CHECK((*reader)->torn_bytes() <= rest);
    if (data[0] % 8 != 0) return 0;  // writing costs four times as much
    auto writer = segment_log::open(how);
    CHECK(writer.ok());
    const auto again = count_records(**writer);
    CHECK(again.ok());
    CHECK(*again == *seen);
  }
  return 0;
}
