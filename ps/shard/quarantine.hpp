#pragma once

#include "base/byte_io.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace headrace::ps {

struct quarantine_limits {
  std::uint32_t refusals_max = 8;   // within the window: quarantined; 0 = never
  std::uint32_t window = 64;        // last pushes of a source that are looked at, 1 … 64
  std::size_t sources_max = 4'096;  // remembered at once
};

/// Keeps sources out that explode: too many of a source's last pushes had a norm beyond the limit
/// or were not finite. Only `release` lets one in again.
///
/// A function of the records in log order: `note` is called once for each committed push and for
/// each redone one, so that a replay arrives at the same state; `save` and `load` carry it over a
/// checkpoint. Sources are told apart by name: a new generation does not get out.
///
/// Only sources with a refusal in their window, or quarantined, are remembered; beyond
/// `sources_max` the one with the oldest refusal is forgotten, never one in quarantine, and where
/// all are, a new one is not counted. Single-threaded: the shard owns it.
class quarantine {
 public:
  explicit quarantine(const quarantine_limits& limits = {});

  /// One push was committed: applied (`ok`) or voided for `status`. True when this one brought its
  /// source into quarantine. Of a source that is in quarantine nothing is counted.
  bool note(std::string_view source, errc status);
  /// Pushes of such a source are voided as errc::quarantined.
  bool is_quarantined(std::string_view source) const;
  /// Lets a source in again with an empty window. False: it was not in quarantine.
  bool release(std::string_view source);

  /// What is known of one source.
  struct standing {
    std::uint32_t refusals = 0;  // within the window
    errc last = errc::ok;        // why its last refused push was refused
    bool quarantined = false;
  };
  /// In the order of names.
  void visit(const std::function<void(const std::string& source, const standing&)>& see) const;

  void save(byte_writer& to) const;
  /// Replaces the state. Fails: corrupt; the state is then empty.
  result<void> load(byte_reader& from);

 private:
  struct record {
    std::uint64_t window = 0;   // bit i: the push i pushes ago was refused
    std::uint64_t refused = 0;  // number of its last refusal, to forget the oldest
    errc last = errc::ok;
    bool quarantined = false;
  };
  bool make_room();

  quarantine_limits limits_;
  std::uint64_t mask_ = 0;      // of the window
  std::uint64_t refusals_ = 0;  // counted over all sources
  std::map<std::string, record, std::less<>> sources_;
};

}  // namespace headrace::ps
