#pragma once

#include <cstdint>
#include <filesystem>

namespace headrace::bench {

/// Page cache for the log of the next point, held by files nobody needs and given back just before
/// it is loaded.
///
/// A log that grows by gigabytes a second takes pages from the kernel; in a young virtual machine
/// the first writes to them went at 0.66 GB/s and later ones at 5.6. So the log of the round before
/// is kept until the next one is loaded, filled up with zeros to `bytes`. Only ours writes, so only
/// ours is given this: what it changes is in bench/baselines/README.md.
class warm_memory {
 public:
  /// Writes `bytes` of zeros into `folder`; as much as fits, silently. 0 bytes: holds nothing,
  /// ever.
  warm_memory(const std::filesystem::path& folder, std::uintmax_t bytes);
  /// Removes what is held.
  void release();
  /// Holds the files in `folder` from now on, filled up.
  void keep(const std::filesystem::path& folder);

 private:
  std::filesystem::path held_;
  std::uintmax_t bytes_;
};

}  // namespace headrace::bench
