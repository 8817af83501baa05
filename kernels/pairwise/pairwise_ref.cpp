#include "base/check.hpp"
#include "kernels/pairwise/pairwise.hpp"

namespace headrace::kernels {
namespace {

template <class Value>
void forward(const basic_pairwise_args<Value>& args) {
  const auto& [values, sample_stride, field_stride, samples, fields, dim] = args.fields;
  const bool per_column = args.output == pairwise_output::per_column;
  CHECK(args.fields.fits());
  CHECK(args.out.size() == (per_column ? samples * dim : samples));
  CHECK(args.sums.size() == samples * dim);
  for (std::size_t s = 0; s < samples; ++s) {
    double total = 0.0;
    for (std::size_t k = 0; k < dim; ++k) {
      double sum = 0.0;
      double squares = 0.0;
      for (std::size_t f = 0; f < fields; ++f) {
        const double v = static_cast<double>(args.fields.at(s, f)[k]);
        sum += v;
        squares += v * v;
      }
      const double pairs = 0.5 * (sum * sum - squares);
      total += pairs;
      args.sums[s * dim + k] = static_cast<Value>(sum);
      if (per_column) args.out[s * dim + k] = static_cast<Value>(pairs);
    }
    if (!per_column) args.out[s] = static_cast<Value>(total);
  }
}

template <class Value>
void backward(const basic_pairwise_backward_args<Value>& args) {
  const auto& [values, sample_stride, field_stride, samples, fields, dim] = args.fields;
  const bool per_column = args.output == pairwise_output::per_column;
  CHECK(args.field_gradients.fits());
  for (std::size_t s = 0; s < samples; ++s) {
    for (std::size_t f = 0; f < fields; ++f) {
      for (std::size_t k = 0; k < dim; ++k) {
        const double g = static_cast<double>(args.out_gradients[per_column ? s * dim + k : s]);
        const double others = static_cast<double>(args.sums[s * dim + k]) -
                              static_cast<double>(args.fields.at(s, f)[k]);
        args.field_gradients.at(s, f)[k] = static_cast<Value>(g * others);
      }
    }
  }
}

}  // namespace

void pairwise_ref(const pairwise_args& args) { forward(args); }
void pairwise_ref(const basic_pairwise_args<double>& args) { forward(args); }
void pairwise_backward_ref(const pairwise_backward_args& args) { backward(args); }
void pairwise_backward_ref(const basic_pairwise_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
