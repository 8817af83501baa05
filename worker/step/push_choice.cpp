#include "worker/step/push_choice.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::uint64_t first_share = 250;  // thousandths
constexpr std::uint64_t warm_up = 1'000;    // batches

}  // namespace

std::string_view name(push_choice choice) {
  switch (choice) {
    case push_choice::fp32:
      return "fp32";
    case push_choice::int8:
      return "int8";
    case push_choice::int4:
      return "int4";
    case push_choice::topk5:
      return "topk5";
    case push_choice::topk10:
      return "topk10";
    case push_choice::automatic:
      return "auto";
  }
  return "unknown";
}

std::size_t values_chosen(push_choice choice, std::size_t n, batch_number batch) {
  const std::uint64_t share = choice == push_choice::topk5 ? 50 : 100;
  const std::uint64_t left = warm_up - std::min(warm_up, batch.value);
  const std::uint64_t now = share + (first_share - share) * left / warm_up;
  return static_cast<std::size_t>((n * now + 999) / 1'000);
}

}  // namespace headrace::worker
