#include "cli/job/checkpoint_section.hpp"

namespace headrace::cli {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t day = 86'400'000 * ms;

}  // namespace

void read_checkpoint(config_reader& config, checkpoint_spec& checkpoint) {
  checkpoint.to = config.text("checkpoint.to", checkpoint.to);
  const bool known = checkpoint.to.find("://") == std::string::npos ||
                     checkpoint.to.starts_with("file:///") || checkpoint.to.starts_with("s3://");
  if (!known)
    config.refuse("checkpoint.to", "accepted is a folder, file:///PATH or s3://BUCKET/PREFIX");
  checkpoint.every_ms =
      config.duration_ns("checkpoint.every", checkpoint.every_ms * ms, {0, 30 * day}) / ms;
  checkpoint.batches = static_cast<std::uint64_t>(
      config.whole("checkpoint.batches", static_cast<std::int64_t>(checkpoint.batches), {0}));
  checkpoint.keep = static_cast<std::uint64_t>(
      config.whole("checkpoint.keep", static_cast<std::int64_t>(checkpoint.keep), {1, 1'000'000}));
  checkpoint.keep_for_ms =
      config.duration_ns("checkpoint.keep_for", checkpoint.keep_for_ms * ms, {0, 3'650 * day}) / ms;
  checkpoint.keep_log = config.flag("checkpoint.keep_log", checkpoint.keep_log);
  checkpoint.digest = config.flag("checkpoint.digest", checkpoint.digest);
}

}  // namespace headrace::cli
