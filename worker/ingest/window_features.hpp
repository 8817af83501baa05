#pragma once

#include "base/byte_io.hpp"
#include "base/result.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/feature_writer.hpp"
#include "worker/windows/impression_columns.hpp"
#include "worker/windows/window_table.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// What one window holds and has counted.
struct window_figures {
  std::string name;  // of the feature
  window_table::counters count;
  std::uint64_t keys = 0;
  std::uint64_t events = 0;
  std::uint64_t lacking = 0;  // events it is fed with that lacked a column for that
};

/// The features of a job that sliding windows give: writes into each event what its windows have of
/// the events in front of it, then lets it count in what comes later. A pure function of the
/// events' order, so that the same log gives the same values. Semantics: docs/windows.md. One
/// thread.
class window_features {
 public:
  /// Parsers leave a place for each window feature of `source` and say in event::windows what the
  /// event is to it.
  explicit window_features(const source_spec& source,
                           const impression_columns::bounds& of_impressions = {});

  bool empty() const { return windows_.empty(); }
  std::size_t size() const { return windows_.size(); }
  /// Of an event that is no action, at its time; event::windows is empty then.
  void write(event& into);
  /// Of an action, which asks for nothing.
  void feed(std::uint64_t time_ms, std::span<const window_input> inputs);

  /// What actions take from their impressions, of a job that joins.
  impression_columns& impressions() { return impressions_; }
  const impression_columns& impressions() const { return impressions_; }

  /// Of each window, in the order of the job file.
  void look(std::vector<window_figures>& into) const;
  /// Of window w, in the order of the job file.
  const window_table& table(std::size_t w) const { return windows_[w].table; }
  const std::string& name(std::size_t w) const { return windows_[w].writer.name(); }

  /// Everything it knows; docs/storage-format.md has the bytes.
  std::vector<std::byte> save() const;
  /// Into one that took nothing yet; unusable on failure. How many windows begin empty, because
  /// they were not there or said something else then. Fails: corrupt.
  result<std::size_t> load(std::span<const std::byte> saved);

 private:
  struct one {
    window_table table;
    feature_writer writer;
    sliding_window spec;
    std::size_t place = 0;  // among the keys, or the lists
    std::uint32_t list_max = 0;
    std::uint64_t fingerprint = 0;  // of all that gives its state a meaning
    std::uint64_t lacking = 0;
  };
  void write_number(const one& of, std::span<const window_event> window, event& into);

  std::vector<one> windows_;
  impression_columns impressions_;
  event scratch_;
};

}  // namespace headrace::worker
