#include "worker/metrics/score_book.hpp"

#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"

/// The figures that a worker keeps between runs. What loads saves to something that loads the
/// same. Slow: a book has five histograms of 2^16 buckets twice over.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  static worker::score_book book(10);
  const auto loaded = book.load(std::as_bytes(std::span(data, size)));
  if (!loaded) {
    CHECK(loaded.error().code == errc::corrupt);
    return 0;
  }
  const auto saved = book.save();
  static worker::score_book again(10);
  CHECK(again.load(saved).ok());
  CHECK(again.save() == saved);
  return 0;
}
