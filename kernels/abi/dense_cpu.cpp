#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/dense_checks.hpp"
#include "kernels/abi/losses_checks.hpp"
#include "kernels/dot_interaction/dot_interaction.hpp"
#include "kernels/fm/fm.hpp"
#include "kernels/gate_mix/gate_mix.hpp"
#include "kernels/layer_norm/layer_norm.hpp"

#include <span>

// Entries of headrace_dense.h on the CPU.
using namespace headrace::kernels;

namespace {

template <class Value>
field_view<Value> fields_of(Value* values,
                            std::size_t extent,
                            std::uint64_t samples,
                            std::uint64_t fields,
                            std::uint64_t dim,
                            std::uint64_t sample_stride,
                            std::uint64_t field_stride) {
  return {.values = abi::span_of(values, extent),
          .sample_stride = sample_stride,
          .field_stride = field_stride,
          .samples = samples,
          .fields = fields,
          .dim = dim};
}

template <class Args>
field_view<const float> fields_of(const Args& args) {
  return fields_of(args.values,
                   abi::dot_values(args),
                   args.samples,
                   args.fields,
                   args.dim,
                   args.sample_stride,
                   args.field_stride);
}

template <class Args>
norm_kind kind_of(const Args& args) {
  return abi::is_rms(args) ? norm_kind::rms : norm_kind::layer;
}

/// The CPU operators read rows by index: what is beyond them is refused.
template <class Args>
void need_indices(const Args& args) {
  for (const std::uint32_t row : abi::span_of(args.inverse, args.samples * args.features)) {
    abi::need(row < args.unique, "inverse has an index beyond the rows");
  }
}

std::size_t bytes(const headrace_layer_norm_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_layer_norm_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_fm_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_fm_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_dot_interaction_args& args) {
  abi::check_sizes(args);
  return dot_interaction_workspace(args.fields, args.dim) * sizeof(float);
}

std::size_t bytes(const headrace_dot_interaction_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_gate_mix_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_gate_mix_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_layer_norm(const headrace_layer_norm_args* given,
                                    void* stream,
                                    void*,
                                    size_t) {
  return abi::entry("layer_norm", given, [&](const headrace_layer_norm_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t size = args.rows * args.dim;
    layer_norm_forward({.kind = kind_of(args),
                        .x = {args.x, size},
                        .residual = abi::span_of(args.residual, size),
                        .gain = {args.gain, args.dim},
                        .bias = abi::span_of(args.bias, args.dim),
                        .dim = args.dim,
                        .epsilon = args.epsilon,
                        .sum = abi::span_of(args.sum, size),
                        .y = {args.y, size},
                        .mean = abi::span_of(args.mean, args.rows),
                        .rstd = {args.rstd, args.rows}});
  });
}

size_t headrace_layer_norm_workspace(const headrace_layer_norm_args* given) {
  return abi::workspace_query(
      "layer_norm", given, [](const headrace_layer_norm_args& args) { return bytes(args); });
}

headrace_status headrace_layer_norm_backward(const headrace_layer_norm_backward_args* given,
                                             void* stream,
                                             void*,
                                             size_t) {
  return abi::entry(
      "layer_norm_backward", given, [&](const headrace_layer_norm_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        const std::size_t size = args.rows * args.dim;
        layer_norm_backward({.kind = kind_of(args),
                             .sum = {args.sum, size},
                             .gain = {args.gain, args.dim},
                             .dim = args.dim,
                             .mean = abi::span_of(args.mean, args.rows),
                             .rstd = {args.rstd, args.rows},
                             .y_gradients = {args.y_gradients, size},
                             .sum_gradients = abi::span_of(args.sum_gradients, size),
                             .x_gradients = {args.x_gradients, size},
                             .gain_gradients = {args.gain_gradients, args.dim},
                             .bias_gradients = abi::span_of(args.bias_gradients, args.dim)});
      });
}

size_t headrace_layer_norm_backward_workspace(const headrace_layer_norm_backward_args* given) {
  return abi::workspace_query(
      "layer_norm_backward", given, [](const headrace_layer_norm_backward_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_fm(const headrace_fm_args* given, void* stream, void*, size_t) {
  return abi::entry("fm", given, [&](const headrace_fm_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    need_indices(args);
    const std::size_t occurrences = args.samples * args.features;
    fm_forward({.rows = {args.rows, args.unique * (1 + args.latent_dim)},
                .inverse = {args.inverse, occurrences},
                .values = abi::span_of(args.values, occurrences),
                .features = args.features,
                .latent_dim = args.latent_dim,
                .bias = args.bias,
                .logits = {args.logits, args.samples},
                .sums = {args.sums, args.samples * args.latent_dim}});
  });
}

size_t headrace_fm_workspace(const headrace_fm_args* given) {
  return abi::workspace_query(
      "fm", given, [](const headrace_fm_args& args) { return bytes(args); });
}

headrace_status headrace_fm_backward(const headrace_fm_backward_args* given,
                                     void* stream,
                                     void*,
                                     size_t) {
  return abi::entry("fm_backward", given, [&](const headrace_fm_backward_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    need_indices(args);
    const std::size_t occurrences = args.samples * args.features;
    *args.bias_gradient =
        fm_backward({.rows = {args.rows, args.unique * (1 + args.latent_dim)},
                     .inverse = {args.inverse, occurrences},
                     .values = abi::span_of(args.values, occurrences),
                     .features = args.features,
                     .latent_dim = args.latent_dim,
                     .sums = {args.sums, args.samples * args.latent_dim},
                     .logit_gradients = {args.logit_gradients, args.samples},
                     .row_gradients = {args.row_gradients, args.unique * (1 + args.latent_dim)}});
  });
}

size_t headrace_fm_backward_workspace(const headrace_fm_backward_args* given) {
  return abi::workspace_query(
      "fm_backward", given, [](const headrace_fm_backward_args& args) { return bytes(args); });
}

headrace_status headrace_dot_interaction(const headrace_dot_interaction_args* given,
                                         void* stream,
                                         void* workspace,
                                         size_t workspace_bytes) {
  return abi::entry("dot_interaction", given, [&](const headrace_dot_interaction_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    dot_interaction(
        {.fields = fields_of(args),
         .out = {args.out, abi::dot_outputs(args)},
         .out_stride = args.out_stride,
         .workspace = {static_cast<float*>(workspace), workspace_bytes / sizeof(float)}});
  });
}

size_t headrace_dot_interaction_workspace(const headrace_dot_interaction_args* given) {
  return abi::workspace_query(
      "dot_interaction", given, [](const headrace_dot_interaction_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_dot_interaction_backward(
    const headrace_dot_interaction_backward_args* given, void* stream, void*, size_t) {
  return abi::entry(
      "dot_interaction_backward", given, [&](const headrace_dot_interaction_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        const std::size_t extent = abi::fields_extent(args.samples,
                                                      args.fields,
                                                      args.dim,
                                                      args.gradient_sample_stride,
                                                      args.gradient_field_stride);
        dot_interaction_backward({.fields = fields_of(args),
                                  .out_gradients = {args.out_gradients, abi::dot_outputs(args)},
                                  .out_stride = args.out_stride,
                                  .field_gradients = fields_of(args.field_gradients,
                                                               extent,
                                                               args.samples,
                                                               args.fields,
                                                               args.dim,
                                                               args.gradient_sample_stride,
                                                               args.gradient_field_stride)});
      });
}

size_t headrace_dot_interaction_backward_workspace(
    const headrace_dot_interaction_backward_args* given) {
  return abi::workspace_query(
      "dot_interaction_backward", given, [](const headrace_dot_interaction_backward_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_gate_mix(const headrace_gate_mix_args* given,
                                  void* stream,
                                  void*,
                                  size_t) {
  return abi::entry("gate_mix", given, [&](const headrace_gate_mix_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t logits = args.rows * args.experts;
    gate_mix({.gate_logits = {args.gate_logits, logits},
              .expert_outputs = {args.expert_outputs, logits * args.dim},
              .experts = args.experts,
              .dim = args.dim,
              .gates = {args.gates, logits},
              .outputs = {args.outputs, args.rows * args.dim}});
  });
}

size_t headrace_gate_mix_workspace(const headrace_gate_mix_args* given) {
  return abi::workspace_query(
      "gate_mix", given, [](const headrace_gate_mix_args& args) { return bytes(args); });
}

headrace_status headrace_gate_mix_backward(const headrace_gate_mix_backward_args* given,
                                           void* stream,
                                           void*,
                                           size_t) {
  return abi::entry("gate_mix_backward", given, [&](const headrace_gate_mix_backward_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t logits = args.rows * args.experts;
    gate_mix_backward({.gates = {args.gates, logits},
                       .expert_outputs = {args.expert_outputs, logits * args.dim},
                       .experts = args.experts,
                       .dim = args.dim,
                       .output_gradients = {args.output_gradients, args.rows * args.dim},
                       .gate_logit_gradients = {args.gate_logit_gradients, logits},
                       .expert_gradients = {args.expert_gradients, logits * args.dim}});
  });
}

size_t headrace_gate_mix_backward_workspace(const headrace_gate_mix_backward_args* given) {
  return abi::workspace_query(
      "gate_mix_backward", given, [](const headrace_gate_mix_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
