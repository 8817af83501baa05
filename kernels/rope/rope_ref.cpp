#include "base/check.hpp"
#include "kernels/rope/rope.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

double angle_of(std::size_t position, std::size_t pair, std::size_t dim, double base) {
  const double turn = -2.0 * static_cast<double>(pair) / static_cast<double>(dim);
  return static_cast<double>(position) * std::pow(base, turn);
}

/// (x, y) turned by an angle.
template <class Value>
void turn(Value* pair, double angle) {
  const double x = static_cast<double>(pair[0]);
  const double y = static_cast<double>(pair[1]);
  pair[0] = static_cast<Value>(x * std::cos(angle) - y * std::sin(angle));
  pair[1] = static_cast<Value>(x * std::sin(angle) + y * std::cos(angle));
}

template <class Value>
void rotate(const basic_rope_args<Value>& args) {
  CHECK(args.dim % 2 == 0);
  CHECK(args.values.size() == args.positions.size() * args.heads * args.dim);
  Value* head = args.values.data();
  for (const std::uint32_t position : args.positions) {
    for (std::size_t h = 0; h < args.heads; ++h, head += args.dim) {
      for (std::size_t i = 0; i < args.dim / 2; ++i) {
        const double angle = angle_of(position, i, args.dim, args.base);
        turn(head + 2 * i, args.inverse ? -angle : angle);
      }
    }
  }
}

}  // namespace

void fill_rope_table(const rope_table_args& args) {
  CHECK(args.dim > 0);
  CHECK(args.dim % 2 == 0);
  CHECK(args.table.size() % args.dim == 0);
  const std::size_t pairs = args.dim / 2;
  for (std::size_t p = 0; p < args.table.size() / args.dim; ++p) {
    for (std::size_t i = 0; i < pairs; ++i) {
      const double angle = angle_of(p, i, args.dim, args.base);
      args.table[p * args.dim + i] = static_cast<float>(std::cos(angle));
      args.table[p * args.dim + pairs + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void rope_ref(const rope_args& args) { rotate(args); }
void rope_ref(const basic_rope_args<double>& args) { rotate(args); }

}  // namespace headrace::kernels
