#include "worker/events/packed_event.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace headrace::worker {
namespace {

// Counts of keys, values, further labels, lists and keys of lists; then time and label; then each.
struct head {
  std::array<std::uint32_t, 5> counts{};
  float label = 0.0F;
  std::uint64_t event_time_ms = 0;
};

template <class Value>
void put(const std::vector<Value>& values, std::vector<std::byte>& into) {
  const auto bytes = std::as_bytes(std::span(values));
  into.insert(into.end(), bytes.begin(), bytes.end());
}

template <class Value>
bool take(std::span<const std::byte>& bytes, std::uint32_t count, std::vector<Value>& into) {
  const std::size_t size = std::size_t{count} * sizeof(Value);
  if (bytes.size() < size) return false;
  into.resize(count);
  if (size > 0) std::memcpy(into.data(), bytes.data(), size);
  bytes = bytes.subspan(size);
  return true;
}

template <class Value>
std::uint32_t size_of(const std::vector<Value>& values) {
  return static_cast<std::uint32_t>(values.size());
}

}  // namespace

void pack(const event& from, std::vector<std::byte>& into) {
  const head front{{size_of(from.keys),
                    size_of(from.values),
                    size_of(from.more_labels),
                    size_of(from.lengths),
                    size_of(from.sequence_keys)},
                   from.label,
                   from.event_time_ms};
  into.resize(sizeof front);
  std::memcpy(into.data(), &front, sizeof front);
  put(from.keys, into);
  put(from.values, into);
  put(from.more_labels, into);
  put(from.lengths, into);
  put(from.sequence_keys, into);
}

bool unpack(std::span<const std::byte> bytes, event& into) {
  head front;
  if (bytes.size() < sizeof front) return false;
  std::memcpy(&front, bytes.data(), sizeof front);
  bytes = bytes.subspan(sizeof front);
  into.label = front.label;
  into.event_time_ms = front.event_time_ms;
  return take(bytes, front.counts[0], into.keys) && take(bytes, front.counts[1], into.values) &&
         take(bytes, front.counts[2], into.more_labels) &&
         take(bytes, front.counts[3], into.lengths) &&
         take(bytes, front.counts[4], into.sequence_keys) && bytes.empty();
}

}  // namespace headrace::worker
