#pragma once

#include "base/second_chance.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// Whether guessing pays on the live stream: two caches of keys as large as the table's DRAM, both
/// evicting by CLOCK (tables do better), one given the guesses and one not. The difference of their
/// hits is what prefetching brings; what they hold says which guesses are worth asking for.
///
/// Judged a window of keys at a time. It begins *on trial*: guesses go to the shadow only. A window
/// that beats no prefetch turns it *on*, one that does not puts it back on trial, and so many lost
/// trials in a row turn it *off*: nothing is guessed or learned for a rest, which doubles each
/// time. Guesses are taken to arrive before the next batch: late ones would help less.
/// Single-threaded.
class prefetch_trial {
 public:
  struct settings {
    std::size_t rows = 1;          // the table's rows in DRAM
    std::size_t window = 8192;     // keys
    double gain_min = 0.005;       // of the window's keys that became hits
    double useful_min = 0.1;       // of the fetched rows that were used before they were evicted
    std::uint32_t trials_max = 6;  // windows on trial before a rest
    std::uint32_t rest = 8;        // windows, the first time
    std::uint32_t rest_max = 64;
  };
  enum class phase { trial, on, off };
  /// Over one window, or over several.
  struct figures {
    std::uint64_t keys = 0;
    std::uint64_t hits_without = 0;
    std::uint64_t hits_with = 0;
    std::uint64_t fetched = 0;
    std::uint64_t useful = 0;  // fetched earlier, used now

    double gain() const;
    double useful_share() const;  // of the fetched; 0 without any
    figures& operator+=(const figures& more);
  };

  explicit prefetch_trial(const settings& given);

  phase now() const { return phase_; }
  /// Guesses are wanted, on trial or on.
  bool running() const { return phase_ != phase::off; }
  /// The table, with the guesses given so far, should hold `key` in DRAM.
  bool holds(std::uint64_t key) const { return with_.find(key) != second_chance::none; }
  /// The guess `key`, which is not held, is fetched (on trial: would be).
  void fetch(std::uint64_t key);
  /// A key of the stream is used.
  void use(std::uint64_t key);

  /// The window judged last; all windows judged; those of them that were on.
  const figures& last() const { return last_; }
  const figures& all() const { return all_; }
  const figures& while_on() const { return on_; }
  std::uint64_t windows() const { return windows_; }
  std::uint64_t windows_on() const { return windows_on_; }
  /// Keys until the next trial; 0 when running.
  std::uint64_t keys_to_trial() const;
  const settings& given() const { return settings_; }

 private:
  void install_with(std::uint64_t key, bool guessed);
  void judge();

  settings settings_;
  second_chance without_;
  second_chance with_;
  std::vector<bool> guessed_;  // by place in with_: fetched and not used yet
  phase phase_ = phase::trial;
  std::uint32_t won_ = 0;  // windows in a row
  std::uint32_t lost_ = 0;
  std::uint32_t rest_;         // windows of the next rest
  std::uint32_t resting_ = 0;  // windows left of this one
  figures window_;
  figures last_;
  figures all_;
  figures on_;
  std::uint64_t windows_ = 0;
  std::uint64_t windows_on_ = 0;
};

}  // namespace headrace::worker
