#include "worker/ingest/crossed_source.hpp"

#include "base/check.hpp"
#include "schemas/hash.hpp"

#include <array>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t parts_max = 8;  // worker/ingest/source_spec.hpp

}  // namespace

void write_crosses(std::span<const cross_spec> crosses, std::span<std::uint64_t> keys) {
  CHECK(keys.size() >= crosses.size());
  const std::size_t features = keys.size() - crosses.size();
  for (std::size_t c = 0; c < crosses.size(); ++c) {
    const cross_spec& cross = crosses[c];
    std::array<std::uint64_t, parts_max> parts;
    CHECK(cross.of.size() <= parts.size());
    for (std::size_t i = 0; i < cross.of.size(); ++i) {
      CHECK(cross.of[i] < features);
      parts[i] = keys[cross.of[i]];
    }
    const auto of = std::span(parts).first(cross.of.size());
    keys[features + c] = schemas::cross_key(cross.salt.empty() ? cross.name : cross.salt, of).value;
  }
}

crossed_source::crossed_source(std::unique_ptr<event_source> inner, std::vector<cross_spec> crosses)
    : inner_(std::move(inner)), crosses_(std::move(crosses)) {
  CHECK(inner_ != nullptr);
  for (const cross_spec& cross : crosses_) {
    CHECK(cross.of.size() >= 2 && cross.of.size() <= parts_max);
    for (const std::uint32_t part : cross.of) CHECK(part < inner_->features());
  }
}

result<bool> crossed_source::next(event& into) {
  auto more = inner_->next(into);
  if (!more || !*more) return more;
  into.keys.resize(features());
  if (!into.values.empty()) into.values.resize(features(), 1.0F);
  write_crosses(crosses_, into.keys);
  return true;
}

}  // namespace headrace::worker
