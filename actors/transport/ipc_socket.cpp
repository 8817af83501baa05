#include "actors/transport/ipc_socket.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::string_view scheme = "ipc://";
constexpr std::size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;
constexpr int connections_waiting_max = 100;  // as ZeroMQ's own backlog

/// A descriptor that is closed at the end of its scope unless it was released.
class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int unix_socket() { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Two servers that start at once look, unlink and bind one after the other: the folder is locked
/// meanwhile, so that no file of our own is left behind. Best effort where folders can't be locked.
descriptor lock_folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const int held = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (held >= 0) ::flock(held, LOCK_EX);
  return descriptor(held);
}

error unusable(const std::string& path, const std::string& why) {
  return {errc::bad_config,
          "cannot listen on 'ipc://" + path + "': " + why + "; choose another path"};
}

/// Whether somebody accepts connections there.
bool is_live(const std::string& path) {
  const descriptor probe(unix_socket());
  const sockaddr_un address = address_of(path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return true;
  return errno != ECONNREFUSED && errno != ENOENT;  // EAGAIN: its backlog is full
}

/// Removes what a server that is gone left at `path`.
result<void> clear(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return unusable(path, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) return unusable(path, "a file that is no socket lies there");
  if (is_live(path)) {
    return error{errc::in_use,
                 "cannot listen on 'ipc://" + path +
                     "': a server listens there; stop it, or choose another path with --set "
                     "server.listen=ipc:///PATH"};
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return unusable(path, std::strerror(errno));
  return {};
}

}  // namespace

bool is_ipc(std::string_view endpoint) { return endpoint.starts_with(scheme); }

result<void> check_ipc_endpoint(const std::string& endpoint) {
  const std::string path = endpoint.substr(scheme.size());
  const auto refused = [&](const std::string& why) {
    return error{errc::bad_config, "listen address '" + endpoint + "': " + why};
  };
  if (path.starts_with("@")) {
    return refused("an abstract socket has no file mode; expected ipc:///absolute/path");
  }
  if (!path.starts_with("/") || path.ends_with("/") || path.find('\0') != std::string::npos) {
    return refused("expected ipc:///absolute/path of a socket file");
  }
  if (path.size() > path_bytes_max) {
    return refused("a socket's path has at most " + std::to_string(path_bytes_max) +
                   " bytes, this one has " + std::to_string(path.size()));
  }
  return {};
}

result<ipc_socket> ipc_socket::listen(const std::string& endpoint) {
  if (auto fine = check_ipc_endpoint(endpoint); !fine) return fine.error();
  const std::string path = endpoint.substr(scheme.size());
  const descriptor alone = lock_folder_of(path);
  if (auto cleared = clear(path); !cleared) return cleared.error();
  descriptor socket(unix_socket());
  const sockaddr_un address = address_of(path);
  // The mode set before bind is that of the file, so that nobody gets in between.
  if (socket.get() < 0 || ::fchmod(socket.get(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return unusable(path, std::strerror(errno));
  }
  ipc_socket made;
  made.path_ = path;
  struct stat ours {};
  if (::listen(socket.get(), connections_waiting_max) != 0 || ::lstat(path.c_str(), &ours) != 0) {
    const int why = errno;
    ::unlink(path.c_str());
    return unusable(path, std::strerror(why));
  }
  made.device_ = ours.st_dev;
  made.inode_ = ours.st_ino;
  made.descriptor_ = socket.release();
  return made;
}

ipc_socket::ipc_socket(ipc_socket&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      device_(other.device_),
      inode_(other.inode_) {}

ipc_socket::~ipc_socket() {
  if (!path_.empty()) {
    const descriptor alone = lock_folder_of(path_);
    struct stat found {};
    const bool ours =
        ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
    if (ours) ::unlink(path_.c_str());
  }
  if (descriptor_ >= 0) ::close(descriptor_);
}

int ipc_socket::take_descriptor() { return std::exchange(descriptor_, -1); }

}  // namespace headrace::actors
