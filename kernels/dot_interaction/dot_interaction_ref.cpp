#include "base/check.hpp"
#include "kernels/dot_interaction/dot_interaction.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

template <class Value>
void forward(const basic_dot_interaction_args<Value>& args) {
  const field_view<const Value>& fields = args.fields;
  CHECK(fields.fits());
  for (std::size_t s = 0; s < fields.samples; ++s) {
    for (std::size_t i = 1; i < fields.fields; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        double sum = 0.0;
        for (std::size_t k = 0; k < fields.dim; ++k) {
          sum += static_cast<double>(fields.at(s, i)[k]) * static_cast<double>(fields.at(s, j)[k]);
        }
        args.out[s * args.out_stride + pair_index(i, j)] = static_cast<Value>(sum);
      }
    }
  }
}

template <class Value>
void backward(const basic_dot_interaction_backward_args<Value>& args) {
  const field_view<const Value>& fields = args.fields;
  CHECK(args.field_gradients.fits());
  for (std::size_t s = 0; s < fields.samples; ++s) {
    for (std::size_t i = 0; i < fields.fields; ++i) {
      for (std::size_t k = 0; k < fields.dim; ++k) {
        double sum = 0.0;
        for (std::size_t j = 0; j < fields.fields; ++j) {
          if (j == i) continue;
          const std::size_t pair = pair_index(std::max(i, j), std::min(i, j));
          sum += static_cast<double>(args.out_gradients[s * args.out_stride + pair]) *
                 static_cast<double>(fields.at(s, j)[k]);
        }
        args.field_gradients.at(s, i)[k] = static_cast<Value>(sum);
      }
    }
  }
}

}  // namespace

void dot_interaction_ref(const dot_interaction_args& args) { forward(args); }
void dot_interaction_ref(const basic_dot_interaction_args<double>& args) { forward(args); }
void dot_interaction_backward_ref(const dot_interaction_backward_args& args) { backward(args); }
void dot_interaction_backward_ref(const basic_dot_interaction_backward_args<double>& args) {
  backward(args);
}

}  // namespace headrace::kernels
