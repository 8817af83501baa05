#include "tests/support/fault_control.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

/// Stands between a process and its disk (LD_PRELOAD): writes and syncs of chosen files fail, are
/// cut short or take long, as a fault_control says (tests/support/faulty_disk.hpp is the other
/// end).
namespace {

using headrace::tests::fault_control;

fault_control* control = nullptr;

// Before main, so that no thread of the process can be in the way.
__attribute__((constructor)) void map_control() {
  const char* path = std::getenv(headrace::tests::fault_control_variable);
  if (path == nullptr) return;
  const int file = ::open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void* mapped =
      ::mmap(nullptr, sizeof(fault_control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped != MAP_FAILED) control = static_cast<fault_control*>(mapped);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

bool concerns(int file) {
  if (control == nullptr || control->path[0] == '\0') return false;
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  char path[1024];
  const ::ssize_t length = ::readlink(link.c_str(), path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  return std::strstr(path, control->path.data()) != nullptr;
}

void wait_ms(std::int64_t ms) {
  if (ms <= 0) return;
  ++control->injected;
  ::timespec left{ms / 1000, ms % 1000 * 1'000'000};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

// True when the write is to fail with ENOSPC.
bool is_full() {
  const std::int64_t number = ++control->writes;
  const std::int64_t from = control->disk_full_from;
  if (from == 0 || number < from) return false;
  ++control->injected;
  errno = ENOSPC;
  return true;
}

std::size_t shortened(std::size_t bytes) {
  const std::int64_t limit = control->write_bytes_max;
  if (limit <= 0 || bytes <= static_cast<std::size_t>(limit)) return bytes;
  ++control->injected;
  return static_cast<std::size_t>(limit);
}

// `pieces` up to the limit.
std::vector<::iovec> shortened(const ::iovec* pieces, int count) {
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) total += pieces[i].iov_len;
  std::size_t left = shortened(total);
  std::vector<::iovec> taken;
  for (int i = 0; i < count && left > 0; ++i) {
    taken.push_back({pieces[i].iov_base, std::min(left, pieces[i].iov_len)});
    left -= taken.back().iov_len;
  }
  return taken;
}

template <class Sync>
int sync_with_faults(int file, Sync sync) {
  if (!concerns(file)) return sync(file);
  const std::int64_t number = ++control->syncs;
  wait_ms(control->sync_delay_ms);
  if (number != control->sync_fails_at) return sync(file);
  ++control->injected;
  errno = EIO;
  return -1;
}

template <class Write>
::ssize_t write_with_faults(int file, std::size_t bytes, Write write) {
  if (!concerns(file)) return write(bytes);
  wait_ms(control->write_delay_ms);
  return is_full() ? -1 : write(shortened(bytes));
}

template <class Write>
::ssize_t writev_with_faults(int file, const ::iovec* pieces, int count, Write write) {
  if (!concerns(file)) return write(pieces, count);
  wait_ms(control->write_delay_ms);
  if (is_full()) return -1;
  const auto taken = shortened(pieces, count);
  return write(taken.data(), static_cast<int>(taken.size()));
}

template <class Reserve>
int reserve_with_faults(int file, Reserve reserve) {
  return concerns(file) && is_full() ? -1 : reserve();
}

}  // namespace

extern "C" {

int fsync(int file) { return sync_with_faults(file, next<int (*)(int)>("fsync")); }
int fdatasync(int file) { return sync_with_faults(file, next<int (*)(int)>("fdatasync")); }

ssize_t write(int file, const void* from, size_t bytes) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return write_with_faults(file, bytes, [&](size_t n) { return real(file, from, n); });
}

ssize_t pwrite(int file, const void* from, size_t bytes, off_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return write_with_faults(file, bytes, [&](size_t n) { return real(file, from, n, at); });
}
ssize_t pwrite64(int file, const void* from, size_t bytes, off64_t at) {
  return pwrite(file, from, bytes, at);
}

ssize_t writev(int file, const iovec* pieces, int count) {
  static const auto real = next<ssize_t (*)(int, const iovec*, int)>("writev");
  return writev_with_faults(
      file, pieces, count, [&](const iovec* p, int n) { return real(file, p, n); });
}

ssize_t pwritev(int file, const iovec* pieces, int count, off_t at) {
  static const auto real = next<ssize_t (*)(int, const iovec*, int, off_t)>("pwritev");
  return writev_with_faults(
      file, pieces, count, [&](const iovec* p, int n) { return real(file, p, n, at); });
}
ssize_t pwritev64(int file, const iovec* pieces, int count, off64_t at) {
  return pwritev(file, pieces, count, at);
}

int fallocate(int file, int mode, off_t at, off_t bytes) {
  static const auto real = next<int (*)(int, int, off_t, off_t)>("fallocate");
  return reserve_with_faults(file, [&] { return real(file, mode, at, bytes); });
}
int fallocate64(int file, int mode, off64_t at, off64_t bytes) {
  return fallocate(file, mode, at, bytes);
}
}
