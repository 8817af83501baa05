#include "worker/batch/sample_digest.hpp"

#include "base/check.hpp"

#include <cstring>
#include <span>

namespace headrace::worker {
namespace {

// Seeds keep what is hashed for one use from being taken for another.
constexpr std::uint64_t seed_of_sample = 1;
constexpr std::uint64_t seed_of_chain = 2;
constexpr std::uint64_t seed_of_key = 3;

template <class Value>
void append(std::vector<std::byte>& to, std::span<const Value> values) {
  if (values.empty()) return;
  const std::size_t at = to.size();
  to.resize(at + values.size_bytes());  // g++ at -O3 takes an insert for an overflow
  std::memcpy(to.data() + at, values.data(), values.size_bytes());
}

template <class Value>
void append(std::vector<std::byte>& to, Value value) {
  append(to, std::span<const Value>(&value, 1));
}

schemas::hash128 hash_of(const schemas::hash128& a, const schemas::hash128& b, std::uint64_t seed) {
  const std::uint64_t words[]{a.low, a.high, b.low, b.high};
  return schemas::hash128_of(std::as_bytes(std::span(words)), seed);
}

// One sample of a batch after the other, as bytes.
class sample_bytes {
 public:
  explicit sample_bytes(const schemas::sample_batch& batch) : batch_(batch) {}

  void next(std::vector<std::byte>& into) {
    const std::size_t n = at_++;
    into.clear();
    append(into, batch_.label_count);
    append(into, batch_.features);
    append(into, batch_.sequences);
    append(into, part(batch_.labels, n, batch_.label_count));
    append(into, part(batch_.keys, n, batch_.features));
    if (batch_.values.empty()) {
      for (std::uint32_t f = 0; f < batch_.features; ++f) append(into, 1.0F);
    } else {
      append(into, part(batch_.values, n, batch_.features));
    }
    const auto lengths = part(batch_.lengths, n, batch_.sequences);
    append(into, lengths);
    for (const std::uint16_t length : lengths) {
      append(into, std::span(batch_.sequence_keys).subspan(listed_, length));
      listed_ += length;
    }
  }

 private:
  template <class Value>
  static std::span<const Value> part(const std::vector<Value>& all,
                                     std::size_t sample,
                                     std::size_t width) {
    return std::span(all).subspan(sample * width, width);
  }

  const schemas::sample_batch& batch_;
  std::size_t at_ = 0;
  std::size_t listed_ = 0;  // keys of lists of the samples before
};

}  // namespace

void sample_digest::add(const schemas::sample_batch& batch) {
  CHECK(!by_ || batch.samples == 0 || *by_ < batch.features);
  sample_bytes all(batch);
  for (std::size_t n = 0; n < batch.fresh(); ++n) {
    all.next(bytes_);
    const schemas::hash128 sample = schemas::hash128_of(bytes_, seed_of_sample);
    set_ += sample;
    const std::uint64_t key = by_ ? batch.keys[n * batch.features + *by_] : 0;
    schemas::hash128& end = ends_[key];
    end = hash_of(end, sample, seed_of_chain);
  }
  samples_ += batch.fresh();
}

schemas::hash128 sample_digest::order() const {
  schemas::hash128 sum;
  for (const auto& [key, end] : ends_) sum += hash_of({key, 0}, end, seed_of_key);
  return sum;
}

}  // namespace headrace::worker
