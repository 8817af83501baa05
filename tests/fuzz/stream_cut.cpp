#include "worker/events/stream_cut.hpp"

#include "base/check.hpp"
#include "schemas/hash.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "worker/text/text_filter.hpp"

#include <cstring>
#include <string>
#include <vector>

/// A place in the event log from which reading begins, signed anew so that what is behind the
/// checksum is reached too; and what texts keep, which lies in it. What loads saves to something
/// that loads the same, within its bounds, and goes on.
namespace {

using namespace headrace;

void read_cut(std::span<const std::byte> bytes) {
  const auto cut = worker::decode_stream_cut(bytes);
  if (!cut) {
    CHECK(cut.error().code == errc::corrupt);
    return;
  }
  const auto back = worker::decode_stream_cut(encode(*cut));
  CHECK(back.ok());
  CHECK(*back == *cut);
}

std::vector<worker::text_spec> texts(std::size_t known_max) {
  worker::text_spec spec;
  spec.column = "body";
  spec.near = 3;
  spec.near_window = known_max;
  return {spec};
}

void load_texts(std::span<const std::byte> bytes, std::size_t known_max) {
  worker::text_filter filter(texts(known_max));
  const auto empty = filter.load(bytes);
  if (!empty) return;
  CHECK(*empty <= 1);
  CHECK(filter.known() <= known_max);
  const auto saved = filter.save();
  worker::text_filter again(texts(known_max));
  CHECK(again.load(saved).ok());
  CHECK(again.save() == saved);
  const std::vector<std::string> one{"it rained all day"};
  const auto refused = filter.judge(one);
  CHECK(refused == again.judge(one));
  CHECK(filter.judge(one).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read_cut(bytes);
  if (size < sizeof(std::uint64_t)) return 0;
  std::vector<std::byte> is_signed(bytes.begin(), bytes.end());
  const std::uint64_t sum = schemas::hash64(bytes.subspan(sizeof sum));
  std::memcpy(is_signed.data(), &sum, sizeof sum);
  read_cut(is_signed);
  std::uint64_t format = 0;
  std::memcpy(&format, data, sizeof format);
  if (format != 1) return 0;  // a filter takes megabytes
  load_texts(bytes, 1'000);
  load_texts(bytes, 1);
  return 0;
}
