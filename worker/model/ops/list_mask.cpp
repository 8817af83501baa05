#include "worker/model/ops/list_mask.hpp"

#include "worker/model/ops/inputs.hpp"

#include <cstdint>

namespace headrace::worker {
namespace {

constexpr std::int64_t heads_max = 64;
constexpr std::int64_t positions_max = 1'000'000;

}  // namespace

std::size_t read_heads(const layer_section& section) {
  return static_cast<std::size_t>(section.config.whole(section.key("heads"), 1, {1, heads_max}));
}

kernels::attention_mask read_mask(const layer_section& section) {
  kernels::attention_mask mask;
  mask.causal = section.config.flag(section.key("causal"), true);
  const auto whole = [&](const char* attribute) {
    return static_cast<std::size_t>(
        section.config.whole(section.key(attribute), 0, {0, positions_max}));
  };
  if (const std::size_t window = whole("window"); window > 0) mask.window = window;
  mask.globals = whole("globals");
  return mask;
}

result<void> expect_heads(const layer_section& section, std::size_t heads) {
  if (auto fits = expect_list(section, 1); !fits) return fits;
  const std::size_t columns = section.inputs[0].columns();
  if (columns % (3 * heads) == 0) return {};
  return error{errc::bad_config,
               "its input has queries, keys and values side by side, so 3 x " +
                   std::to_string(heads) + " x the width of a head; it is " +
                   describe(section.inputs[0])};
}

}  // namespace headrace::worker
