#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// How well what was learned after a pass ranks the ids that are held out for validation.
struct pass_figures {
  std::uint64_t pass = 0;  // from 1
  std::uint64_t cases = 0;
  double hit_rate = 0.0;  // HR@10
  double ndcg = 0.0;      // NDCG@10
  double mrr = 0.0;
  /// When it was validated, ms since 1970: all that was learned until then is of this pass or
  /// before, all later of the next. 0 = not known.
  std::uint64_t at_ms = 0;
};

/// The pass of the highest NDCG@10, the first among equals; nothing of none.
std::optional<pass_figures> best_of(const std::vector<pass_figures>& passes);
/// The last `patience` of them were not the best; never with a patience of 0.
bool is_enough(const std::vector<pass_figures>& passes, std::uint32_t patience);
/// A line of JSON, and back what such a line says; nothing of a line that a kill cut short.
std::string to_line(const pass_figures& of);
std::optional<pass_figures> pass_from_line(const std::string& line);

}  // namespace headrace::cli
