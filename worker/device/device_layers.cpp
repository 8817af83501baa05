#include "worker/device/device_layers.hpp"

#include "base/check.hpp"

#include <initializer_list>
#include <utility>
#include <variant>

namespace headrace::worker {
namespace {

/// What a pass needs beside its form.
struct pass {
  const layer& body;
  const device_run& run;
  const device_library& library;
  device_queue& queue;
};

void scale(const pass& at, float factor, const float* from, float* to, std::size_t size, bool add) {
  headrace_scale_args args{};
  args.flags = add ? std::uint32_t{HEADRACE_ADD_TO} : 0U;
  args.size = size;
  args.from = from;
  args.to = to;
  args.scale = factor;
  at.queue.run("scale", at.library.scale, args);
}

void forward(const no_device_form&, const pass&) { CHECK(false); }
void backward(const no_device_form&, const pass&) { CHECK(false); }

void forward(const rows_form&, const pass&) {}
void backward(const rows_form&, const pass&) {}

void forward(const numbers_form&, const pass& at) {
  const std::size_t floats = at.run.samples * at.body.output.columns();
  at.queue.copy(at.run.output, at.run.numbers, floats * sizeof(float));
}
void backward(const numbers_form&, const pass&) {}

void forward(const fields_form& form, const pass& at) {
  const device_lookup& rows = at.run.lookups[0];
  headrace_fields_args args{};
  args.unique = rows.unique;
  args.width = rows.width;
  args.first_column = form.first_column;
  args.samples = at.run.samples;
  args.fields = at.body.output.fields;
  args.dim = at.body.output.dim;
  args.rows = rows.rows;
  args.inverse = rows.inverse;
  args.values = rows.factors;
  args.out = at.run.output;
  at.queue.run("fields", at.library.fields, args);
}

void backward(const fields_form& form, const pass& at) {
  const device_lookup& rows = at.run.lookups[0];
  headrace_fields_backward_args args{};
  args.unique = rows.unique;
  args.width = rows.width;
  args.first_column = form.first_column;
  args.samples = at.run.samples;
  args.fields = at.body.output.fields;
  args.dim = at.body.output.dim;
  args.inverse = rows.inverse;
  args.order = rows.order;
  args.values = rows.factors;
  args.out_gradients = at.run.output_gradient;
  args.row_gradients = rows.gradients;
  at.queue.run("fields_backward", at.library.fields_backward, args);
}

void copy_columns(const pass& at,
                  std::size_t columns,
                  const float* from,
                  std::size_t from_stride,
                  float* to,
                  std::size_t to_stride) {
  headrace_copy_columns_args args{};
  args.rows = at.run.samples;
  args.columns = columns;
  args.from_stride = from_stride;
  args.to_stride = to_stride;
  args.from = from;
  args.to = to;
  at.queue.run("copy_columns", at.library.copy_columns, args);
}

void forward(const concat_form&, const pass& at) {
  const std::size_t all = at.body.output.columns();
  float* to = at.run.output;
  for (std::size_t i = 0; i < at.run.inputs.size(); ++i) {
    const std::size_t columns = at.run.input_columns[i];
    copy_columns(at, columns, at.run.inputs[i], columns, to, all);
    to += columns;
  }
}

void backward(const concat_form&, const pass& at) {
  const std::size_t all = at.body.output.columns();
  const float* from = at.run.output_gradient;
  for (std::size_t i = 0; i < at.run.inputs.size(); ++i) {
    const std::size_t columns = at.run.input_columns[i];
    if (at.run.input_gradients[i] != nullptr)
      copy_columns(at, columns, from, all, at.run.input_gradients[i], columns);
    from += columns;
  }
}

void forward(const sum_form&, const pass& at) {
  const std::size_t floats = at.run.samples * at.body.output.columns();
  at.queue.copy(at.run.output, at.run.inputs[0], floats * sizeof(float));
  for (const float* input : at.run.inputs.subspan(1))
    scale(at, 1.0F, input, at.run.output, floats, true);
}

void backward(const sum_form&, const pass& at) {
  const std::size_t floats = at.run.samples * at.body.output.columns();
  for (float* gradient : at.run.input_gradients) {
    if (gradient != nullptr)
      at.queue.copy(gradient, at.run.output_gradient, floats * sizeof(float));
  }
}

template <class Args>
Args linear_sizes(const linear_form& form, const pass& at) {
  Args args{};
  args.rows = at.run.samples;
  args.in = at.body.parameters[0].rows;
  args.out = at.body.parameters[0].dim;
  args.activation = static_cast<headrace_activation>(form.activation);
  args.x = at.run.inputs[0];
  args.weights = at.run.parameters[0];
  return args;
}

void forward(const linear_form& form, const pass& at) {
  auto args = linear_sizes<headrace_linear_args>(form, at);
  args.bias = at.run.parameters[1];
  args.y = at.run.output;
  args.saved = at.run.saved;
  at.queue.run("linear", at.library.linear, args);
}

void backward(const linear_form& form, const pass& at) {
  auto args = linear_sizes<headrace_linear_backward_args>(form, at);
  args.y = at.run.output;
  args.saved = at.run.saved;
  args.y_gradients = at.run.output_gradient;
  args.x_gradients = at.run.input_gradients[0];
  args.weight_gradients = at.run.parameter_gradients[0];
  args.bias_gradients = at.run.parameter_gradients[1];
  at.queue.run("linear_backward", at.library.linear_backward, args);
}

template <class Args>
Args fm_sizes(const pass& at) {
  const device_lookup& rows = at.run.lookups[0];
  Args args{};
  args.unique = rows.unique;
  args.samples = at.run.samples;
  args.features = rows.features;
  args.latent_dim = rows.width - 1;
  args.rows = rows.rows;
  args.inverse = rows.inverse;
  args.values = rows.factors;
  args.sums = at.run.saved;
  return args;
}

void forward(const factorization_form&, const pass& at) {
  auto args = fm_sizes<headrace_fm_args>(at);
  args.logits = at.run.output;
  args.bias = at.run.first_parameter;
  at.queue.run("fm", at.library.fm, args);
}

void backward(const factorization_form&, const pass& at) {
  auto args = fm_sizes<headrace_fm_backward_args>(at);
  args.order = at.run.lookups[0].order;
  args.logit_gradients = at.run.output_gradient;
  args.row_gradients = at.run.lookups[0].gradients;
  args.bias_gradient = at.run.scratch;
  at.queue.run("fm_backward", at.library.fm_backward, args);
  scale(at, 1.0F, at.run.scratch, at.run.parameter_gradients[0], 1, true);
}

void forward(const bce_form&, const pass& at) {
  headrace_bce_args args{};
  args.samples = at.run.samples;
  args.logits = at.run.inputs[0];
  args.labels = at.run.labels + at.body.heads[0].label * at.run.samples;
  args.probabilities = at.run.output;
  args.logit_gradients = at.run.saved;
  args.loss = at.run.loss;
  at.queue.run("bce", at.library.bce, args);
}

void backward(const bce_form&, const pass& at) {
  scale(
      at, at.body.heads[0].weight, at.run.saved, at.run.input_gradients[0], at.run.samples, false);
}

/// An entry and whether the library has it.
using wanted_entry = std::pair<const char*, bool>;

std::string first_missing(std::initializer_list<wanted_entry> entries) {
  for (const auto& [name, there] : entries)
    if (!there) return "the library has no " + std::string(name);
  return "";
}

struct missing_entry {
  const device_library& library;

  std::string operator()(const no_device_form&) const { return "it has no device form"; }
  std::string operator()(const rows_form&) const { return ""; }
  std::string operator()(const numbers_form&) const { return ""; }
  std::string operator()(const fields_form&) const {
    return first_missing(
        {{"fields", library.fields.there()}, {"fields_backward", library.fields_backward.there()}});
  }
  std::string operator()(const concat_form&) const {
    return first_missing({{"copy_columns", library.copy_columns.there()}});
  }
  std::string operator()(const sum_form&) const {
    return first_missing({{"scale", library.scale.there()}});
  }
  std::string operator()(const linear_form&) const {
    return first_missing({{"linear", library.linear.there()},
                          {"linear_backward", library.linear_backward.there()},
                          {"scale", library.scale.there()}});
  }
  std::string operator()(const factorization_form&) const {
    return first_missing({{"fm", library.fm.there()},
                          {"fm_backward", library.fm_backward.there()},
                          {"scale", library.scale.there()}});
  }
  std::string operator()(const bce_form&) const {
    return first_missing({{"bce", library.bce.there()}, {"scale", library.scale.there()}});
  }
};

}  // namespace

void forward_on_device(const device_form& form,
                       const layer& body,
                       const device_run& run,
                       const device_library& library,
                       device_queue& queue) {
  const pass at{body, run, library, queue};
  std::visit([&](const auto& one) { forward(one, at); }, form);
}

void backward_on_device(const device_form& form,
                        const layer& body,
                        const device_run& run,
                        const device_library& library,
                        device_queue& queue) {
  const pass at{body, run, library, queue};
  std::visit([&](const auto& one) { backward(one, at); }, form);
}

void add_on_device(float* to,
                   const float* from,
                   std::size_t size,
                   const device_library& library,
                   device_queue& queue) {
  headrace_scale_args args{};
  args.flags = HEADRACE_ADD_TO;
  args.size = size;
  args.from = from;
  args.to = to;
  args.scale = 1.0F;
  queue.run("scale", library.scale, args);
}

std::string cannot_run(const layer& body, const device_library& library) {
  return std::visit(missing_entry{library}, body.on_device());
}

}  // namespace headrace::worker
