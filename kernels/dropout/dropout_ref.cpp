#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/dropout/dropout.hpp"

namespace headrace::kernels {
namespace {

bool kept(const dropout_key& key, float rate, std::size_t i) {
  const std::uint64_t mask = counter_draw(key.seed, key.layer, key.step);
  const std::uint64_t draw = counter_draw(mask, 0, i / 4);
  return (draw >> (16 * (i % 4)) & 0xFFFF) >= dropout_threshold(rate);
}

template <class Value>
void drop(const basic_dropout_args<Value>& args) {
  CHECK(args.results.size() == args.values.size());
  const double scale = dropout_scale(args.rate);
  for (std::size_t i = 0; i < args.values.size(); ++i) {
    args.results[i] = kept(args.key, args.rate, i)
                          ? static_cast<Value>(static_cast<double>(args.values[i]) * scale)
                          : Value{0};
  }
}

}  // namespace

void dropout_ref(const dropout_args& args) { drop(args); }
void dropout_ref(const basic_dropout_args<double>& args) { drop(args); }

}  // namespace headrace::kernels
