#include "worker/events/stream_cut.hpp"

#include "base/byte_io.hpp"
#include "schemas/hash.hpp"

#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint32_t format_version = 3;
constexpr std::uint32_t format_without_texts = 2;
constexpr std::uint32_t format_of_join_only = 1;  // had neither what made it nor windows

}  // namespace

std::vector<std::byte> encode(const stream_cut& cut) {
  byte_writer body;
  body.number(format_version);
  body.number(cut.made_by);
  body.number(cut.through.value);
  body.number(cut.samples);
  body.number(cut.stamp_ms);
  body.number(cut.unwritten_ms);
  body.number(static_cast<std::uint64_t>(cut.partitions.size()));
  for (const auto& [partition, end] : cut.partitions) {
    body.text(partition);
    body.number(end);
  }
  body.number(static_cast<std::uint64_t>(cut.marks.size()));
  for (const auto& mark : cut.marks) {
    body.number(mark.through.value);
    body.number(mark.stamp_ms);
    body.number(mark.bytes);
  }
  for (const auto* state : {&cut.joiner, &cut.windows, &cut.texts}) {
    body.number(static_cast<std::uint64_t>(state->size()));
    body.numbers(std::span(*state));
  }
  const std::vector<std::byte> content = body.take();
  byte_writer file;
  file.number(schemas::hash64(content));
  file.numbers(std::span(content));
  return file.take();
}

result<stream_cut> decode_stream_cut(std::span<const std::byte> bytes) {
  const error corrupt{errc::corrupt, "its checksum does not fit"};
  byte_reader file(bytes);
  const auto hash = file.number<std::uint64_t>();
  if (!file.ok() || schemas::hash64(bytes.subspan(sizeof hash)) != hash) return corrupt;
  const auto version = file.number<std::uint32_t>();
  if (version < format_of_join_only || version > format_version)
    return error{errc::corrupt, "format " + std::to_string(version) + " is not known here"};
  stream_cut cut;
  if (version > format_of_join_only) cut.made_by = file.number<std::uint64_t>();
  cut.through = lsn{file.number<std::uint64_t>()};
  cut.samples = file.number<std::uint64_t>();
  cut.stamp_ms = file.number<std::uint64_t>();
  cut.unwritten_ms = file.number<std::uint64_t>();
  for (auto left = file.number<std::uint64_t>(); left > 0 && file.ok(); --left) {
    const std::string partition = file.text();
    cut.partitions[partition] = file.number<std::uint64_t>();
  }
  for (auto left = file.number<std::uint64_t>(); left > 0 && file.ok(); --left) {
    stream_cut::mark mark;
    mark.through = lsn{file.number<std::uint64_t>()};
    mark.stamp_ms = file.number<std::uint64_t>();
    mark.bytes = file.number<std::uint64_t>();
    cut.marks.push_back(mark);
  }
  const auto take = [&](std::vector<std::byte>& into) {
    const auto size = file.number<std::uint64_t>();
    if (size > file.left()) return false;
    into.resize(size);
    file.numbers(std::span(into));
    return true;
  };
  if (!take(cut.joiner)) return corrupt;
  if (version > format_of_join_only && !take(cut.windows)) return corrupt;
  if (version > format_without_texts && !take(cut.texts)) return corrupt;
  if (!file.at_end()) return corrupt;
  return cut;
}

}  // namespace headrace::worker
