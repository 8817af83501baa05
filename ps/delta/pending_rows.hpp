#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::ps {

/// A row that a subscriber has yet to be told of.
struct pending_row {
  std::uint64_t key = 0;
  float size = 0.0F;             // how much it may have changed: sum over records of max |gradient|
  std::uint32_t generation = 0;  // of the oldest change that was not sent (delta_feed.hpp)
};

/// Rows of one table that changed, each once, however often it did: sorted runs, each more than
/// twice as long as the next, merged as they come. A row is added in amortized log(n) steps of a
/// merge and takes 16 bytes, 32 at most. Single-threaded.
class pending_rows {
 public:
  /// `rows` by key, ascending, each once. A row that is there already keeps its older generation
  /// and adds its sizes up.
  void add(std::vector<pending_row> rows);
  /// All of them in one run, by key. The caller may take rows out and must leave the order.
  std::vector<pending_row>& all();
  /// Takes `count` rows, or what there is, off the end of the shortest run, in steps of what is
  /// taken. Ascending; one that lies in another run, too, stays there.
  std::vector<pending_row> take_last(std::size_t count);
  bool contains(std::uint64_t key) const;
  /// Rows, some of them counted in more than one run.
  std::size_t rows_at_most() const;
  bool empty() const { return rows_at_most() == 0; }
  std::size_t bytes() const;

 private:
  std::vector<std::vector<pending_row>> runs_;  // the longest first
};

/// Sorts what was appended run by run, and merges rows of one key. `ends` are where each sorted run
/// ends; consecutive ones may be in order, too.
void merge_runs(std::vector<pending_row>& rows, std::vector<std::size_t> ends);

}  // namespace headrace::ps
