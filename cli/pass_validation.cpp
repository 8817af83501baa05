#include "cli/pass_validation.hpp"

#include "base/log.hpp"
#include "cli/next_item_cases.hpp"

#include <array>
#include <cstdio>
#include <fstream>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t validated_from_end = 2;  // the last id is the test's
constexpr std::array<std::size_t, 1> cutoff{10};

}  // namespace

result<pass_validation> pass_validation::open(const job& described, std::filesystem::path file) {
  auto cases = read_cases(described, described.source, {.held_out = validated_from_end});
  if (!cases) return cases.error();
  pass_validation made(std::move(*cases));
  made.model_ = described.model;
  made.schema_ = described.schema;
  made.every_ = described.replay.validate_every;
  made.last_ = described.replay.passes;
  made.patience_ = described.replay.patience;
  made.file_ = std::move(file);
  if (!std::filesystem::exists(made.file_)) return made;
  std::ifstream in(made.file_);
  if (!in) return error{errc::io_error, "cannot read '" + made.file_.string() + "'"};
  for (std::string line; std::getline(in, line);) {
    if (const auto figures = pass_from_line(line)) made.passes_.push_back(*figures);
  }
  return made;
}

result<void> pass_validation::add(std::uint64_t pass,
                                  std::uint64_t now_ms,
                                  const worker::batch_scorer::row_pull& pull,
                                  const std::function<bool()>& stopped) {
  if (pass == 0 || (pass % every_ != 0 && pass != last_)) return {};
  if (!passes_.empty() && passes_.back().pass >= pass) return {};
  worker::batch_scorer scorer(model_, schema_, pull);
  worker::ranking_metrics figures(cutoff);
  if (auto ranked = cases_.rank(scorer, figures, stopped); !ranked) return ranked;
  const auto at = figures.figures().front();
  passes_.push_back(
      {pass, figures.cases(), at.hit_rate, at.ndcg, figures.mean_reciprocal_rank(), now_ms});
  keep(passes_.back());
  log_info("replay.validated",
           {{"pass", pass},
            {"ndcg_at_10", at.ndcg},
            {"hr_at_10", at.hit_rate},
            {"cases", figures.cases()}});
  return {};
}

void pass_validation::keep(const pass_figures& figures) const {
  if (std::FILE* out = std::fopen(file_.c_str(), "a")) {
    // What a kill cut short must not swallow this line.
    std::fputs(("\n" + to_line(figures) + "\n").c_str(), out);
    std::fclose(out);
  }
}

}  // namespace headrace::cli
