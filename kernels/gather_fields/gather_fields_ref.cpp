#include "base/check.hpp"
#include "kernels/gather_fields/gather_fields.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

template <class Value>
double value_at(std::span<const Value> values, std::size_t i) {
  return values.empty() ? 1.0 : static_cast<double>(values[i]);
}

template <class Value>
void forward(const basic_gather_fields_args<Value>& args) {
  CHECK(args.inverse.size() == args.out.samples * args.out.fields);
  CHECK(args.out.fits());
  for (std::size_t i = 0; i < args.inverse.size(); ++i) {
    const std::size_t from = args.inverse[i] * args.width + args.first_column;
    Value* to = args.out.at(i / args.out.fields, i % args.out.fields);
    for (std::size_t k = 0; k < args.out.dim; ++k) {
      to[k] =
          static_cast<Value>(static_cast<double>(args.rows[from + k]) * value_at(args.values, i));
    }
  }
}

template <class Value>
void backward(const basic_gather_fields_backward_args<Value>& args) {
  const field_view<const Value>& out = args.out_gradients;
  CHECK(args.inverse.size() == out.samples * out.fields);
  CHECK(out.fits());
  std::vector<double> sums(args.row_gradients.begin(), args.row_gradients.end());
  for (std::size_t i = 0; i < args.inverse.size(); ++i) {
    const std::size_t to = args.inverse[i] * args.width + args.first_column;
    const Value* from = out.at(i / out.fields, i % out.fields);
    for (std::size_t k = 0; k < out.dim; ++k) {
      sums[to + k] += static_cast<double>(from[k]) * value_at(args.values, i);
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    args.row_gradients[i] = static_cast<Value>(sums[i]);
  }
}

}  // namespace

void gather_fields_ref(const gather_fields_args& args) { forward(args); }
void gather_fields_ref(const basic_gather_fields_args<double>& args) { forward(args); }
void gather_fields_backward_ref(const gather_fields_backward_args& args) { backward(args); }
void gather_fields_backward_ref(const basic_gather_fields_backward_args<double>& args) {
  backward(args);
}

}  // namespace headrace::kernels
