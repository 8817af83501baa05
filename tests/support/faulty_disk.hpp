#pragma once

#include "tests/support/child_process.hpp"
#include "tests/support/fault_control.hpp"

#include <string>
#include <vector>

namespace headrace::tests {

/// A disk that a test can break and mend while a process runs on it. Give `environment()` to the
/// child_process; then set the fields of `*disk` (fault_control).
class faulty_disk {
 public:
  /// Faults strike files whose path contains `path`.
  explicit faulty_disk(const std::string& path);
  ~faulty_disk();
  faulty_disk(const faulty_disk&) = delete;
  faulty_disk& operator=(const faulty_disk&) = delete;

  fault_control* operator->() const { return control_; }
  std::vector<std::string> environment() const;

 private:
  temporary_folder folder_;
  fault_control* control_ = nullptr;
};

}  // namespace headrace::tests
