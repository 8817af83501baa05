#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>
#include <sys/types.h>

namespace headrace::actors {

/// True for `ipc://…`.
bool is_ipc(std::string_view endpoint);
/// Refuses what no server can listen on: a path that is not absolute, too long for the kernel (107
/// bytes), or abstract (`ipc://@…`: it has no file, so no owner and no mode). Fails: bad_config.
result<void> check_ipc_endpoint(const std::string& endpoint);

/// A listening socket in the file system, and its file for as long as the object lives.
///
/// ZeroMQ would unlink whatever lies at the path, a live server's socket too, and make a file that
/// everyone may connect to (read in 4.3.4's ipc_listener). So the socket is made here, with mode
/// 0600, and handed over as a descriptor: a socket that nobody listens on is replaced, a live one
/// and a file of any other kind are refused.
class ipc_socket {
 public:
  /// Fails: in_use where a server listens, bad_config where the path can't be used.
  static result<ipc_socket> listen(const std::string& endpoint);
  ipc_socket(ipc_socket&& other) noexcept;
  ipc_socket& operator=(ipc_socket&&) = delete;
  /// Removes the file if it is still ours (so destroy it while somebody listens: until then the
  /// file's number is not given to another), and closes the descriptor if nobody took it.
  ~ipc_socket();

  /// The listening descriptor; who takes it closes it.
  int take_descriptor();

 private:
  ipc_socket() = default;

  std::string path_;
  int descriptor_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace headrace::actors
