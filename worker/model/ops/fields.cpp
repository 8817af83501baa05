#include "base/check.hpp"
#include "kernels/gather_fields/gather_fields.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

// The vectors of a lookup laid out by sample, [samples, fields, dim], without first-order columns.
class fields_layer final : public layer {
 public:
  explicit fields_layer(const value_shape& rows) : first_(rows.first_order) {
    output = {.fields = rows.fields, .dim = rows.dim - rows.first_order};
  }
  device_form on_device() const override { return fields_form{first_}; }
  double forward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    CHECK(rows.features == output.fields);
    kernels::gather_fields(
        {.rows = rows.rows,
         .width = rows.width,
         .first_column = first_,
         .inverse = rows.inverse,
         .values = rows.factors,
         .out = kernels::packed_fields(run.output, run.samples, output.fields, output.dim)});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    kernels::gather_fields_backward(
        {.width = rows.width,
         .first_column = first_,
         .inverse = rows.inverse,
         .values = rows.factors,
         .out_gradients =
             kernels::packed_fields(run.output_gradient, run.samples, output.fields, output.dim),
         .row_gradients = rows.gradients});
  }

 private:
  std::size_t first_;
};

}  // namespace

result<std::unique_ptr<layer>> make_fields(const layer_section& section) {
  if (auto fits = expect_rows(section); !fits) return fits.error();
  const value_shape& rows = section.inputs[0];
  if (rows.dim == rows.first_order)
    return error{errc::bad_config, "needs rows with vectors: a dim of 1 or more there"};
  if (rows.fields == 0)
    return error{errc::bad_config, "the job names no features, so their number is not known"};
  return std::unique_ptr<layer>(std::make_unique<fields_layer>(rows));
}

}  // namespace headrace::worker
