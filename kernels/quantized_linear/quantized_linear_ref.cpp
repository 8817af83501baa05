#include "base/check.hpp"
#include "kernels/quantized_linear/quantized_linear.hpp"

namespace headrace::kernels {
namespace {

template <class Value>
double weight_at(const basic_quantized_linear_args<Value>& args,
                 std::size_t input,
                 std::size_t output) {
  const std::size_t group = input / inputs_per_scale(args.shape);
  return static_cast<double>(code_at(args.codes, args.shape, input, output)) *
         static_cast<double>(args.scales[group * args.shape.outputs + output]);
}

template <class Value>
void multiply(const basic_quantized_linear_args<Value>& args) {
  const std::size_t inputs = args.shape.inputs;
  const std::size_t outputs = args.shape.outputs;
  CHECK(args.x.size() == args.rows * inputs);
  CHECK(args.y.size() == args.rows * outputs);
  for (std::size_t r = 0; r < args.rows; ++r) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = args.bias.empty() ? 0.0 : static_cast<double>(args.bias[o]);
      for (std::size_t i = 0; i < inputs; ++i) {
        sum += static_cast<double>(args.x[r * inputs + i]) * weight_at(args, i, o);
      }
      args.y[r * outputs + o] = static_cast<Value>(sum);
    }
  }
}

}  // namespace

void quantized_linear_ref(const quantized_linear_args& args) { multiply(args); }
void quantized_linear_ref(const basic_quantized_linear_args<double>& args) { multiply(args); }

}  // namespace headrace::kernels
