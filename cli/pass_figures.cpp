#include "cli/pass_figures.hpp"

#include "base/json_line.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>

namespace headrace::cli {

std::optional<pass_figures> best_of(const std::vector<pass_figures>& passes) {
  const auto best = std::ranges::max_element(passes, {}, &pass_figures::ndcg);
  return best == passes.end() ? std::nullopt : std::optional(*best);
}

bool is_enough(const std::vector<pass_figures>& passes, std::uint32_t patience) {
  if (patience == 0 || passes.empty()) return false;
  const auto best = std::ranges::max_element(passes, {}, &pass_figures::ndcg);
  return passes.end() - best > static_cast<std::ptrdiff_t>(patience);
}

std::string to_line(const pass_figures& of) {
  json_line line;
  line.add("pass", of.pass)
      .add("cases", of.cases)
      .add("hr", of.hit_rate)
      .add("ndcg", of.ndcg)
      .add("mrr", of.mrr)
      .add("at_ms", of.at_ms);
  return line.text();
}

// Reads back what `to_line` wrote: numbers, in the same order.
std::optional<pass_figures> pass_from_line(const std::string& line) {
  std::array<double, 6> values{};
  if (line.empty() || line.back() != '}') return std::nullopt;
  std::size_t at = 0;
  for (double& value : values) {
    at = line.find(':', at);
    if (at == std::string::npos && &value == &values.back()) break;  // of a build without times
    if (at == std::string::npos) return std::nullopt;
    value = std::strtod(line.c_str() + ++at, nullptr);
  }
  return pass_figures{static_cast<std::uint64_t>(values[0]),
                      static_cast<std::uint64_t>(values[1]),
                      values[2],
                      values[3],
                      values[4],
                      static_cast<std::uint64_t>(values[5])};
}

}  // namespace headrace::cli
