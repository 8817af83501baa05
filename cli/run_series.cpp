#include "cli/run_series.hpp"

#include "base/json_line.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

std::string to_line(const series_point& p) {
  json_line line;
  line.add("seconds", p.seconds)
      .add("samples", p.samples)
      .add("samples_per_second", p.samples_per_second)
      .add("auc", p.auc)
      .add("auc_recent", p.auc_recent)
      .add("logloss", p.logloss)
      .add("auc_tail", p.auc_tail)
      .add("auc_frozen", p.auc_frozen)
      .add("staleness", p.staleness)
      .add("rows", p.rows)
      .add("push_bytes_per_sample", p.push_bytes_per_sample)
      .add("memory_bytes", p.memory_bytes);
  return line.text();
}

// Reads back what `to_line` wrote: the values of one flat object of numbers, in the same order.
std::optional<series_point> from_line(const std::string& line) {
  std::array<std::optional<double>, 12> values;
  if (line.size() < 2 || line.back() != '}') return std::nullopt;
  std::size_t at = 0;
  for (auto& value : values) {
    at = line.find(':', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
    char* end = nullptr;
    const double read = std::strtod(line.c_str() + at, &end);
    if (end != line.c_str() + at) value = read;
  }
  const auto number = [&](std::size_t i) { return values[i].value_or(0.0); };
  const auto count = [&](std::size_t i) { return static_cast<std::uint64_t>(number(i)); };
  series_point p;
  p.seconds = number(0);
  p.samples = count(1);
  p.samples_per_second = number(2);
  p.auc = number(3);
  p.auc_recent = number(4);
  p.logloss = number(5);
  p.auc_tail = values[6];
  p.auc_frozen = values[7];
  p.staleness = count(8);
  p.rows = count(9);
  p.push_bytes_per_sample = number(10);
  p.memory_bytes = count(11);
  return p;
}

}  // namespace

result<run_series> run_series::open(const std::filesystem::path& file) {
  run_series made;
  made.file_ = file;
  if (!std::filesystem::exists(file)) return made;
  std::ifstream in(file);
  if (!in) return error{errc::io_error, "cannot read '" + file.string() + "'"};
  for (std::string line; std::getline(in, line);) {
    if (auto point = from_line(line)) made.points_.push_back(*point);
  }
  return made;
}

void run_series::add(const series_point& point) {
  points_.push_back(point);
  if (std::FILE* out = std::fopen(file_.c_str(), "a")) {
    // What a kill cut short must not swallow this line.
    std::fputs((std::exchange(begun_, true) ? to_line(point) + "\n" : "\n" + to_line(point) + "\n")
                   .c_str(),
               out);
    std::fclose(out);
  }
}

}  // namespace headrace::cli
