#pragma once

#include "base/check.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace headrace::fuzz {

/// A file that lies in memory, for readers that want a path: opening it costs two system calls and
/// no disk.
class file_in_memory {
 public:
  file_in_memory() : file_(::memfd_create("fuzz", MFD_CLOEXEC)) { CHECK(file_ >= 0); }
  ~file_in_memory() { ::close(file_); }
  file_in_memory(const file_in_memory&) = delete;
  file_in_memory& operator=(const file_in_memory&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }
  void set(const std::uint8_t* data, std::size_t size) const {
    CHECK(::ftruncate(file_, 0) == 0);
    CHECK(::pwrite(file_, data, size, 0) == static_cast<::ssize_t>(size));
  }

 private:
  int file_;
};

/// A folder on a disk in memory, for readers that want one; gone when the process ends in peace.
class folder_in_memory {
 public:
  folder_in_memory() {
    path_ = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    path_ += "/headrace-fuzz-XXXXXX";
    CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~folder_in_memory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  folder_in_memory(const folder_in_memory&) = delete;
  folder_in_memory& operator=(const folder_in_memory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace headrace::fuzz
