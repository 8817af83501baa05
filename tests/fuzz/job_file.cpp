#include "cli/job/job_file.hpp"

#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <string>

/// A job file: refused in one line that names the file, or resolved to a text that reads back as
/// the same job.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto job = cli::parse_job(text, "fuzz.toml", {});
  if (!job) {
    CHECK(!job.error().detail.empty());
    return 0;
  }
  const auto again = cli::parse_job(job->text, "resolved.toml", {});
  CHECK(again.ok());
  CHECK(again->text == job->text);
  return 0;
}
