#pragma once

#include "worker/ingest/event_source.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// Events of one source kept in memory, side by side: 8 bytes a key (of lists, too), 4 a value or
/// further label, 2 a list, 32 a window and 20 an event. Single-threaded.
class event_list {
 public:
  /// Every event has as many keys, values, further labels and lists.
  void add(const event& each);

  std::size_t size() const { return events_.size(); }
  std::uint64_t time_ms(std::size_t i) const { return events_[i].time_ms; }
  /// Writes event i, but for its row number.
  void get(std::size_t i, event& into) const;

 private:
  struct placed {
    std::uint64_t time_ms;
    std::uint64_t list_begin;  // in sequence_keys_
    float label;
  };
  std::vector<placed> events_;
  std::vector<std::uint64_t> keys_;
  std::vector<float> values_;
  std::vector<float> more_labels_;
  std::vector<std::uint16_t> lengths_;
  std::vector<std::uint64_t> sequence_keys_;
  std::vector<window_input> windows_;
};

}  // namespace headrace::worker
