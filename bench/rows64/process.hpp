#pragma once

#include "base/result.hpp"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace headrace::bench {

/// This program started again with other arguments. Standard input and output are pipes to the
/// parent when asked for; standard error is shared. Killed and reaped when the object goes.
class child {
 public:
  struct how {
    bool piped = false;        // standard input and output; else both are inherited
    bool own_session = false;  // setsid: a process group and an autogroup of its own
  };
  static result<child> start(std::vector<std::string> arguments, how way);
  child(child&& other) noexcept;
  child& operator=(child&&) = delete;
  ~child();

  /// One line of its standard output; empty when it ended without.
  std::string read_line();
  /// Writes one line to its standard input; nothing when it has ended.
  void write_line(const std::string& line);
  /// Kills the process, with its group when it has a session of its own, and reaps it.
  void kill();
  /// The exit status once it has ended by itself, 128 + signal when killed; nothing while it runs.
  std::optional<int> ended();

 private:
  child() = default;
  pid_t pid_ = -1;
  bool own_session_ = false;
  int input_ = -1;   // written by us
  int output_ = -1;  // read by us
};

/// Asks to be killed when the parent dies. Called first thing in a child.
void end_with_parent();
/// Raises the scheduler weight of this process's autogroup as far as is permitted; what came of it,
/// for the result. With autogroups a nice value alone does nothing against other process groups
/// (notes: stack §0).
std::string raise_autogroup_weight();
/// Makes malloc keep blocks of megabytes instead of mapping and unmapping them for each message.
/// Both sides of every peer use it.
void keep_large_blocks();

}  // namespace headrace::bench
