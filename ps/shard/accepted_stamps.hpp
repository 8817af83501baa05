#pragma once

#include "schemas/push.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

namespace headrace::ps {

/// Which events are in the rows of a shard, by when they were accepted: of each source whose pushes
/// were applied in this run, the newest stamp (push_section::accepted_ms). Lane rows counts; of a
/// source that has pushed in lane dense only, that one. A later generation takes the place of an
/// earlier one. Single-threaded: the shard's owner.
class accepted_stamps {
 public:
  void note(const schemas::push_section& push) {
    if (push.accepted_ms == 0) return;  // of a worker that does not say, or an advance
    of_source& at = sources_[push.source.name];
    if (push.source.generation < at.generation) return;
    if (push.source.generation > at.generation) at = {.generation = push.source.generation};
    std::uint64_t& of = push.lane == schemas::lane::rows ? at.rows : at.dense;
    of = of == ended ? push.accepted_ms : std::max(of, push.accepted_ms);  // it may go on again
    if (push.accepted_ms != ended) newest_ = std::max(newest_, push.accepted_ms);
  }
  /// Every event accepted before it is in; 0: nobody has said. Sources that have ended keep nobody
  /// waiting: where all have, it is the newest that any said before.
  std::uint64_t least() const {
    std::uint64_t least = ended;
    for (const auto& [name, at] : sources_)
      least = std::min(least, at.rows != 0 ? at.rows : at.dense);
    return least == ended ? newest_ : least;
  }

 private:
  static constexpr std::uint64_t ended = schemas::source_ended_ms;
  struct of_source {
    std::uint64_t rows = 0;
    std::uint64_t dense = 0;
    std::uint32_t generation = 0;
  };
  std::map<std::string, of_source> sources_;
  std::uint64_t newest_ = 0;
};

}  // namespace headrace::ps
