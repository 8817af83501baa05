#include "worker/text/simhash.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "worker/text/letter_table.hpp"
#include "worker/text/text_cleaning.hpp"

#include <array>

namespace headrace::worker {
namespace {

constexpr bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

// Adds the words to one another, shingle by shingle.
class shingles {
 public:
  explicit shingles(std::size_t words) : words_(words) {}

  void word(std::uint64_t hash) {
    last_[seen_++ % words_] = hash;
    if (seen_ >= words_) add(words_);
  }

  std::optional<std::uint64_t> bits() {
    if (seen_ == 0) return std::nullopt;
    if (seen_ < words_) add(seen_);
    std::uint64_t made = 0;
    for (std::size_t b = 0; b < balance_.size(); ++b)
      made |= static_cast<std::uint64_t>(balance_[b] > 0) << b;
    return made;
  }

 private:
  // The newest `count` words, the oldest of them first.
  void add(std::size_t count) {
    std::uint64_t hash = 0;
    for (std::size_t i = seen_ - count; i < seen_; ++i) hash = mix64(hash ^ last_[i % words_]);
    for (std::size_t b = 0; b < balance_.size(); ++b) balance_[b] += (hash >> b & 1U) != 0 ? 1 : -1;
  }

  std::size_t words_;
  std::size_t seen_ = 0;
  std::array<std::uint64_t, shingle_words_max> last_{};
  std::array<std::int64_t, 64> balance_{};  // set bits less clear ones
};

}  // namespace

char32_t folded(char32_t c) {
  if (in(c, 'A', 'Z') || (in(c, 0xC0, 0xDE) && c != 0xD7)) return c + 0x20;
  if (in(c, 0x100, 0x137) || in(c, 0x14A, 0x177) || in(c, 0x1E00, 0x1E95) ||
      in(c, 0x1EA0, 0x1EFF) || in(c, 0x460, 0x481) || in(c, 0x48A, 0x4BF) || in(c, 0x4D0, 0x52F))
    return c | 1U;
  if (in(c, 0x139, 0x148) || in(c, 0x179, 0x17E) || in(c, 0x4C1, 0x4CE)) return c + (c & 1U);
  if (in(c, 0x391, 0x3AB) || in(c, 0x410, 0x42F)) return c + 0x20;
  if (in(c, 0x400, 0x40F)) return c + 0x50;
  if (in(c, 0x531, 0x556)) return c + 0x30;
  return c;
}

std::optional<std::uint64_t> simhash(std::string_view text, std::size_t shingle_words) {
  CHECK(shingle_words >= 1 && shingle_words <= shingle_words_max);
  shingles found(shingle_words);
  std::uint64_t word = 0;  // hash of the characters so far; 0: none
  const auto end_word = [&] {
    if (word != 0) found.word(word);
    word = 0;
  };
  for (next_character next = first_character(text); next.bytes > 0; next = first_character(text)) {
    text.remove_prefix(next.bytes);
    const script is = script_of(next.is);
    if (is == script::symbol || is_unspaced(is)) end_word();
    if (is == script::symbol) continue;
    word = mix64(word ^ folded(next.is)) | 1U;
    if (is_unspaced(is)) end_word();
  }
  end_word();
  return found.bits();
}

}  // namespace headrace::worker
