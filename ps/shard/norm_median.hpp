#pragma once

#include "schemas/push.hpp"

#include <array>
#include <cstddef>
#include <map>
#include <utility>

namespace headrace::ps {

/// Running median of the push norms of each (source, lane), over the last `window` committed
/// pushes.
///
/// A hint of what is normal, kept in memory only: what it decided is in the log as void records, so
/// redo needs none of it, and after a restart it learns again. Single-threaded: the gate owns it.
class norm_median {
 public:
  static constexpr std::size_t window = 31;
  /// Below this many norms there is no median yet.
  static constexpr std::size_t norms_min = 8;

  /// 0 while unknown.
  double of(const schemas::source_id& source, schemas::lane lane) const;
  /// Norms that are 0 say nothing and are left out.
  void learn(const schemas::source_id& source, schemas::lane lane, double norm);

 private:
  struct recent {
    std::array<double, window> norms{};
    std::size_t seen = 0;
    double median = 0.0;
  };
  // A new generation goes on with its source's norms.
  std::map<std::pair<std::string, schemas::lane>, recent, std::less<>> sources_;
};

}  // namespace headrace::ps
