#include "storage/job_folder.hpp"

#include "base/check.hpp"
#include "tests/fuzz/file_in_memory.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <fcntl.h>
#include <unistd.h>

/// The JOB file of a state folder.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  static const fuzz::folder_in_memory folder;
  static const int file =
      ::open((folder.path() + "/JOB").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  CHECK(::ftruncate(file, 0) == 0);
  CHECK(::pwrite(file, data, size, 0) == static_cast<::ssize_t>(size));
  const auto opened = storage::job_folder::open_read_only(folder.path());
  if (!opened) {
    CHECK(!opened.error().detail.empty());
    return 0;
  }
  CHECK((*opened)->job().name.find('\n') == std::string::npos);
  return 0;
}
