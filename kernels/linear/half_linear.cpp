#include "kernels/linear/half_linear.hpp"

#include "base/check.hpp"
#include "kernels/linear/row_stages.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

/// What backward works with: dz in f32, and rounded both ways its products read it.
struct backward_room {
  backward_room(const half_linear_backward_args& args)
      : dz(args.layer.workspace.first(args.layer.dy.size())),
        part(args.layer.workspace.subspan(dz.size(), args.layer.dweights.size())),
        rest(args.layer.workspace.subspan(dz.size() + part.size())),
        x_words(args.words.first(args.layer.x.size())),
        dz_words(args.words.subspan(x_words.size(), dz.size())),
        dz_packed(args.words.subspan(x_words.size() + dz_words.size(),
                                     packed_words(args.layer.rows, args.layer.out))) {}

  std::span<float> dz;
  std::span<float> part;  // [in, out], where what is added to dweights has to be scaled first
  std::span<float> rest;
  std::span<std::uint16_t> x_words;
  std::span<std::uint16_t> dz_words;
  std::span<std::uint16_t> dz_packed;
};

/// scale * dz into room.dz; db, which takes no scale.
void output_gradients(const half_linear_backward_args& args, const backward_room& room) {
  const linear_backward_args& layer = args.layer;
  const bool identity = layer.activation == linear_activation::none;
  const std::span<const float> kept = linear_reads_saved(layer.activation) ? layer.saved : layer.y;
  slope_rows(layer.activation,
             identity ? nullptr : kept.data(),
             layer.dy.data(),
             layer.rows,
             layer.out,
             identity ? nullptr : room.dz.data(),
             layer.dbias.empty() ? nullptr : layer.dbias.data());
  if (identity) std::ranges::copy(layer.dy, room.dz.begin());
  if (args.scale == 1.0F) return;
  for (float& value : room.dz) value *= args.scale;
}

void input_gradients(const half_linear_backward_args& args, const backward_room& room) {
  const linear_backward_args& layer = args.layer;
  round_halves({.format = args.format, .values = room.dz, .words = room.dz_words});
  half_gemm({.format = args.format,
             .a = room.dz_words,
             .b = args.packed.subspan(packed_words(layer.in, layer.out)),
             .c = layer.dx,
             .m = layer.rows,
             .n = layer.in,
             .k = layer.out,
             .workspace = room.rest});
  if (args.scale == 1.0F) return;
  for (float& value : layer.dx) value *= 1.0F / args.scale;
}

void add_weight_gradients(const half_linear_backward_args& args, const backward_room& room) {
  const linear_backward_args& layer = args.layer;
  const bool direct = args.scale == 1.0F;
  round_halves({.format = args.format, .values = layer.x, .words = room.x_words});
  pack_halves({.format = args.format,
               .values = room.dz,
               .k = layer.rows,
               .n = layer.out,
               .packed = room.dz_packed});
  half_gemm({.format = args.format,
             .a = room.x_words,
             .a_transposed = true,
             .b = room.dz_packed,
             .c = direct ? layer.dweights : room.part,
             .m = layer.in,
             .n = layer.out,
             .k = layer.rows,
             .accumulate = direct,
             .workspace = room.rest});
  if (direct) return;
  const float inverse = 1.0F / args.scale;
  for (std::size_t i = 0; i < room.part.size(); ++i) layer.dweights[i] += inverse * room.part[i];
}

}  // namespace

std::size_t packed_linear_words(std::size_t in, std::size_t out) {
  return packed_words(in, out) + packed_words(out, in);
}

void pack_linear(const pack_linear_args& args) {
  CHECK(args.weights.size() == args.in * args.out);
  CHECK(args.packed.size() == packed_linear_words(args.in, args.out));
  const std::size_t forward = packed_words(args.in, args.out);
  pack_halves({.format = args.format,
               .values = args.weights,
               .k = args.in,
               .n = args.out,
               .packed = args.packed.first(forward)});
  pack_halves({.format = args.format,
               .values = args.weights,
               .transposed = true,
               .k = args.out,
               .n = args.in,
               .packed = args.packed.subspan(forward)});
}

std::size_t half_linear_workspace(std::size_t rows, std::size_t in, std::size_t out) {
  return rows * out + in * out +
         std::max({half_gemm_workspace(rows, out, in),
                   half_gemm_workspace(rows, in, out),
                   half_gemm_workspace(in, out, rows)});
}

std::size_t half_linear_words(std::size_t rows, std::size_t in, std::size_t out) {
  return rows * in + rows * out + packed_words(rows, out);
}

void half_linear_forward(const half_linear_args& args) {
  const linear_args& layer = args.layer;
  CHECK(layer.x.size() == layer.rows * layer.in);
  CHECK(layer.bias.empty() || layer.bias.size() == layer.out);
  CHECK(layer.y.size() == layer.rows * layer.out);
  CHECK(layer.saved.size() == (linear_reads_saved(layer.activation) ? layer.y.size() : 0));
  CHECK(layer.workspace.size() >= half_linear_workspace(layer.rows, layer.in, layer.out));
  CHECK(args.packed.size() == packed_linear_words(layer.in, layer.out));
  CHECK(args.words.size() >= half_linear_words(layer.rows, layer.in, layer.out));
  if (layer.y.empty()) return;
  const std::span<float> z = layer.saved.empty() ? layer.y : layer.saved;
  const std::span<std::uint16_t> x_words = args.words.first(layer.x.size());
  round_halves({.format = args.format, .values = layer.x, .words = x_words});
  half_gemm({.format = args.format,
             .a = x_words,
             .b = args.packed.first(packed_words(layer.in, layer.out)),
             .c = z,
             .m = layer.rows,
             .n = layer.out,
             .k = layer.in,
             .workspace = layer.workspace});
  finish_rows(layer.activation,
              layer.bias.empty() ? nullptr : layer.bias.data(),
              layer.rows,
              layer.out,
              z.data(),
              layer.y.data());
}

void half_linear_backward(const half_linear_backward_args& args) {
  const linear_backward_args& layer = args.layer;
  CHECK(layer.x.size() == layer.rows * layer.in);
  CHECK(layer.dy.size() == layer.rows * layer.out);
  CHECK(!linear_reads_y(layer.activation) || layer.y.size() == layer.dy.size());
  CHECK(!linear_reads_saved(layer.activation) || layer.saved.size() == layer.dy.size());
  CHECK(layer.dx.empty() || layer.dx.size() == layer.x.size());
  CHECK(layer.dweights.size() == layer.in * layer.out);
  CHECK(layer.dbias.empty() || layer.dbias.size() == layer.out);
  CHECK(layer.workspace.size() >= half_linear_workspace(layer.rows, layer.in, layer.out));
  CHECK(args.packed.size() == packed_linear_words(layer.in, layer.out));
  CHECK(args.words.size() >= half_linear_words(layer.rows, layer.in, layer.out));
  if (layer.dy.empty()) {
    std::ranges::fill(layer.dx, 0.0F);
    return;
  }
  const backward_room room(args);
  output_gradients(args, room);
  if (!layer.dx.empty()) input_gradients(args, room);
  add_weight_gradients(args, room);
}

}  // namespace headrace::kernels
