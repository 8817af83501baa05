#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace headrace::worker {

/// `--predictions FILE`: row number, and for each predicted label the label, p online, p frozen, in
/// the order predicted; tab-separated, p frozen empty before the freeze. Single-threaded.
class prediction_log {
 public:
  /// A new file, or with `go_on` the end of what an earlier run wrote. With several names of labels
  /// the header says them: "label NAME". Fails: io_error.
  static result<std::unique_ptr<prediction_log>> open(const std::filesystem::path& path,
                                                      bool go_on,
                                                      std::span<const std::string> labels = {});
  void add(std::uint64_t row, float label, float online, const float* frozen);
  /// The same for several: `frozen` is empty before the freeze.
  void add(std::uint64_t row,
           std::span<const float> labels,
           std::span<const float> online,
           std::span<const float> frozen);
  /// Writes what is buffered. Fails: io_error, disk_full.
  result<void> close();

 private:
  struct closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, closer> file_;
  std::filesystem::path path_;
};

}  // namespace headrace::worker
