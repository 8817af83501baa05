#include "base/check.hpp"
#include "kernels/ranking/ranking.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

double score(const ranking_args& args, std::size_t user, std::size_t item) {
  double sum = 0.0;
  for (std::size_t k = 0; k < args.dim; ++k) {
    sum += static_cast<double>(args.x[user * args.dim + k]) *
           static_cast<double>(args.items[item * args.dim + k]);
  }
  return sum;
}

bool is_excluded(const ranking_args& args, std::size_t user, std::uint32_t item) {
  if (args.excluded_offsets.empty()) return false;
  const std::uint32_t begin = args.excluded_offsets[user];
  const auto ids = args.excluded.subspan(begin, args.excluded_offsets[user + 1] - begin);
  return std::find(ids.begin(), ids.end(), item) != ids.end();
}

}  // namespace

void ranking_ref(const ranking_args& args) {
  CHECK(args.dim > 0);
  for (std::size_t user = 0; user < args.ranks.size(); ++user) {
    const std::uint32_t positive = args.positives[user];
    const double own = score(args, user, positive);
    double rank = 1.0;
    for (std::uint32_t item = 0; item < args.items.size() / args.dim; ++item) {
      if (item == positive || is_excluded(args, user, item)) continue;
      const double other = score(args, user, item);
      if (other == own) rank += 0.5;
      if (!(other <= own)) rank += 1.0;
    }
    args.ranks[user] = rank;
  }
}

}  // namespace headrace::kernels
