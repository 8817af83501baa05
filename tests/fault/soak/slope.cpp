#include "tests/fault/soak/slope.hpp"

#include <map>

namespace headrace::tests {
namespace {

struct mean {
  double seconds = 0;
  double value = 0;
  double count = 0;
};

}  // namespace

double slope_within_lives(const std::vector<sighting>& seen) {
  std::map<std::uint64_t, mean> means;
  for (const auto& one : seen) {
    mean& of = means[one.life];
    of.seconds += one.seconds;
    of.value += one.value;
    of.count += 1;
  }
  double together = 0;
  double spread = 0;
  for (const auto& one : seen) {
    const mean& of = means[one.life];
    const double t = one.seconds - of.seconds / of.count;
    together += t * (one.value - of.value / of.count);
    spread += t * t;
  }
  return spread > 0 ? together / spread : 0;
}

}  // namespace headrace::tests
