#pragma once

#include "worker/prefetch/lstm_cell.hpp"
#include "worker/prefetch/succession_memory.hpp"
#include "worker/prefetch/trained_block.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// Learns, on the stream itself, how likely a key is to be used soon: an LSTM over the stream of
/// keys that judges what the succession memory proposes.
///
/// A key enters as the embedding of its hashed bucket and of the size class of its difference to
/// the key before, as in the literature on learned memory prefetchers (Hashemi et al., "Learning
/// Memory Access Patterns", ICML 2018: A16 of the project's sources). Their output, a softmax over
/// a fixed vocabulary, would only ever name keys that are used all the time and lie in DRAM anyway;
/// here the hidden state is multiplied with the embedding of each proposed key and of the way it
/// came about instead. Logistic loss against whether the key was used within `horizon` keys,
/// truncated backpropagation over `chunk` keys, Adagrad. Deterministic in seed and stream, for a
/// given libm. Single-threaded.
class lstm_predictor {
 public:
  struct settings {
    std::uint64_t seed = 1;
    std::size_t remembered = 1U << 16;  // keys of the succession memory
    std::size_t buckets = 1U << 14;     // of hashed keys
    std::size_t key_dim = 16;
    std::size_t stride_dim = 8;
    std::size_t way_dim = 8;
    std::size_t hidden = 24;
    std::size_t horizon = 32;  // keys
    std::size_t chunk = 16;    // keys
    float rate = 0.05F;
  };
  struct guess {
    std::uint64_t key;
    float probability;  // of a use within `horizon` keys
  };

  explicit lstm_predictor(const settings& given);

  /// The next key of the stream: guesses what follows it and learns from what it says about earlier
  /// guesses. Keys for which `held` is true are neither guessed nor learned: what lies in DRAM is
  /// used often, and would make the rest look likelier than it is.
  template <class Held>
  void observe(std::uint64_t key, Held&& held) {
    moment& at = look_at(key);
    proposed_ = at.proposals;
    std::erase_if(at.proposals, [&](const auto& each) { return held(each.key); });
    judge(at);
  }
  /// The next key of the stream, for the succession memory only: a hundred times cheaper. What was
  /// guessed before and not learned from is forgotten.
  void pass(std::uint64_t key);
  /// After the key observed last.
  std::span<const guess> guesses() const { return guesses_; }

 private:
  /// One key of the stream as the network saw it.
  struct moment {
    std::uint64_t key = 0;
    std::uint32_t bucket = 0;
    std::uint32_t stride = 0;
    std::uint32_t way = 0;  // how it had been proposed; 0 = not
    std::vector<succession_memory::proposal> proposals;
  };
  moment& look_at(std::uint64_t key);
  void judge(const moment& newest);
  void advance(const moment& at, lstm_cell::state& state, lstm_cell::step& done);
  std::uint32_t bucket(std::uint64_t key) const;
  /// In which way the key before proposed `key`, from 1; 0 = it did not.
  std::uint32_t foreseen(std::uint64_t key) const;
  float logit(const succession_memory::proposal& of, std::span<const float> hidden) const;
  bool used_after(std::size_t at, std::uint64_t key) const;
  /// Learns from the oldest `chunk` moments, whose horizon has passed, and forgets them.
  void learn();
  void learn_proposals(std::size_t at, std::span<const float> hidden, std::span<float> by_hidden);

  settings settings_;
  succession_memory successions_;
  lstm_cell cell_;
  trained_block key_in_;      // [buckets, key_dim]
  trained_block stride_in_;   // [stride classes, stride_dim]
  trained_block way_in_;      // [ways + 1, way_dim]
  trained_block key_out_;     // [buckets, hidden + 1]: the last is a bias
  trained_block way_out_;     // [ways, hidden + 1]
  std::vector<float> usual_;  // [ways]: log odds that a proposal of this way came true lately
  std::optional<std::uint64_t> previous_;
  std::vector<succession_memory::proposal> proposed_;  // by the key before
  lstm_cell::state now_;                               // after the newest moment
  lstm_cell::state chunk_begin_;                       // before the oldest moment
  std::deque<moment> moments_;                         // the oldest first; at most horizon + chunk
  std::vector<guess> guesses_;
  std::vector<float> x_;
  lstm_cell::step step_;
};

}  // namespace headrace::worker
