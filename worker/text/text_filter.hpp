#pragma once

#include "base/result.hpp"
#include "worker/text/near_window.hpp"
#include "worker/text/text_spec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// Of everything that decides which events they let through; 0 of none.
std::uint64_t fingerprint_of(const std::vector<text_spec>& texts);

/// Which events a job learns from by what their texts are: lengths, symbols, scripts, and whether
/// one of the last texts was nearly the same. A pure function of the events' order, so that the
/// same log leaves the same events out. One thread.
class text_filter {
 public:
  /// `near`, `near_window` and `shingle_words` are in the bounds of near_window and simhash.
  explicit text_filter(const std::vector<text_spec>& texts);

  bool empty() const { return texts_.empty(); }
  struct refusal {
    text_fault why;
    std::size_t text = 0;  // which of them
    friend bool operator==(const refusal&, const refusal&) = default;
  };
  /// The clean texts of an event, one for each spec. Only those of one that is taken are known
  /// later; what is refused is counted.
  std::optional<refusal> judge(std::span<const std::string> texts);
  struct counters {
    std::uint64_t taken = 0;  // events
    std::array<std::uint64_t, text_faults> refused{};
    friend bool operator==(const counters&, const counters&) = default;
  };
  const counters& count() const { return counts_; }
  std::uint64_t count(text_fault why) const {
    return counts_.refused[static_cast<std::size_t>(why)];
  }
  /// Texts that are known, to tell near ones by, of all columns.
  std::uint64_t known() const;

  /// Its counts and the hashes of the texts it knows. Bytes: docs/storage-format.md.
  std::vector<std::byte> save() const;
  /// Into one that took nothing yet; unusable on failure. How many windows of texts begin empty,
  /// because they were not there or said something else then. Fails: corrupt.
  result<std::size_t> load(std::span<const std::byte> saved);

 private:
  struct one {
    text_spec spec;
    std::optional<near_window> seen;
    std::uint64_t fingerprint = 0;  // of all that gives `seen` a meaning
  };
  std::vector<one> texts_;
  std::vector<std::optional<std::uint64_t>> hashes_;  // of the event at work
  counters counts_;
};

}  // namespace headrace::worker
