#include "tests/support/faulty_disk.hpp"

#include "base/check.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace headrace::tests {

faulty_disk::faulty_disk(const std::string& path) {
  const int file = ::open((folder_ / "control").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  CHECK(::ftruncate(file, sizeof(fault_control)) == 0);
  void* mapped =
      ::mmap(nullptr, sizeof(fault_control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  CHECK(mapped != MAP_FAILED);
  control_ = new (mapped) fault_control;
  CHECK(path.size() < control_->path.size());
  std::memcpy(control_->path.data(), path.c_str(), path.size() + 1);
}

faulty_disk::~faulty_disk() { ::munmap(control_, sizeof(fault_control)); }

std::vector<std::string> faulty_disk::environment() const {
  const char* shim = std::getenv("HEADRACE_FAULTY_DISK");
  CHECK(shim != nullptr);  // set by CMake
  return {std::string("LD_PRELOAD=") + shim,
          std::string(fault_control_variable) + "=" + (folder_ / "control")};
}

}  // namespace headrace::tests
