#include "bench/rows64/warm_memory.hpp"

#include <fstream>
#include <system_error>
#include <vector>

namespace headrace::bench {
namespace {

namespace fs = std::filesystem;

std::uintmax_t bytes_in(const fs::path& folder) {
  std::error_code ignored;
  std::uintmax_t sum = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) sum += entry.file_size(ignored);
  }
  return sum;
}

void write_zeros(const fs::path& file, std::uintmax_t bytes) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  const std::vector<char> zeros(piece);
  std::ofstream out(file, std::ios::binary);
  for (std::uintmax_t written = 0; written < bytes && out; written += piece) {
    out.write(zeros.data(), piece);
  }
}

}  // namespace

warm_memory::warm_memory(const fs::path& folder, std::uintmax_t bytes) : bytes_(bytes) {
  keep(folder / "first");
}

void warm_memory::release() {
  std::error_code ignored;
  if (!held_.empty()) fs::remove_all(held_, ignored);
  held_.clear();
}

void warm_memory::keep(const fs::path& folder) {
  held_ = folder;
  if (bytes_ == 0) return release();
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  const std::uintmax_t there = bytes_in(folder);
  if (there < bytes_) write_zeros(folder / "zeros", bytes_ - there);
}

}  // namespace headrace::bench
