#include "cli/pages/chart_axis.hpp"

#include "cli/pages/html_text.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::cli {
namespace {

constexpr double value_max = 1e30;  // beyond it sums of axis arithmetic could overflow

double round_step(double span, std::size_t wanted) {
  const double raw = span / static_cast<double>(wanted);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  // The round number nearest to `raw`: thresholds are the geometric means of neighbours.
  const double lead = raw / power;
  return power * (lead < 1.414 ? 1 : lead < 3.162 ? 2 : lead < 7.071 ? 5 : 10);
}

range values_of(const chart& what) {
  range all{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const auto& line : what.lines) {
    for (const auto& p : line.points) {
      if (!is_measured(p)) continue;
      all.low = std::min(all.low, p.y);
      all.high = std::max(all.high, p.y);
    }
  }
  return all;
}

}  // namespace

bool is_measured(const chart_point& p) {
  return std::isfinite(p.x) && p.x >= 0 && p.x <= 1e12 && std::isfinite(p.y) &&
         std::abs(p.y) <= value_max;
}

time_unit unit_for(double seconds) {
  if (seconds <= 180) return {1, "seconds"};
  if (seconds <= 3 * 3600.0) return {60, "minutes"};
  if (seconds <= 3 * 86400.0) return {3600, "hours"};
  return {86400, "days"};
}

range value_axis(const chart& what, std::size_t ticks) {
  range axis = values_of(what);
  if (what.from_zero) axis.low = std::min(axis.low, 0.0);
  const double span_min =
      what.format == value_format::ratio ? 0.02 : std::max(1.0, 1e-6 * std::abs(axis.high));
  if (axis.span() < span_min) {
    const double more = span_min - axis.span();
    if (!what.from_zero) axis.low -= more / 2;
    axis.high += what.from_zero ? more : more / 2;
  }
  const double room = 0.06 * axis.span();
  if (what.from_zero) {
    const double step = round_step(axis.span(), ticks);
    axis.high = std::ceil((axis.high + room) / step) * step;
    if (axis.low < 0) axis.low = std::floor((axis.low - room) / step) * step;
  } else {
    axis = {axis.low - room, axis.high + room};
  }
  return axis;
}

range time_axis(const chart& what) {
  double last = 0;
  for (const auto& line : what.lines) {
    for (const auto& p : line.points) {
      if (is_measured(p)) last = std::max(last, p.x);
    }
  }
  return {0, last > 0 ? last : 1};
}

int decimals_for(double step) {
  return std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
}

std::string tick_text(double value, double step, value_format format) {
  switch (format) {
    case value_format::ratio:
      return fixed(value, decimals_for(step));
    case value_format::count:
      return step < 1 ? fixed(value, decimals_for(step)) : compact(value);
    case value_format::bytes:
      break;
  }
  if (value == 0) return "0";
  std::string text = people_bytes(value);
  if (const auto zeros = text.find(".00 "); zeros != std::string::npos) return text.erase(zeros, 3);
  if (const auto zero = text.find(".0 "); zero != std::string::npos) return text.erase(zero, 2);
  if (const auto zero = text.find("0 "); zero != std::string::npos && text.find('.') < zero)
    text.erase(zero, 1);
  return text;
}

std::string format_value(double value, value_format format) {
  switch (format) {
    case value_format::ratio:
      return fixed(value, 4);
    case value_format::count:
      return whole(value);
    case value_format::bytes:
      return people_bytes(value);
  }
  return {};
}

std::vector<double> round_ticks(double low, double high, std::size_t wanted) {
  std::vector<double> ticks;
  if (!(high > low) || wanted == 0) return ticks;
  const double step = round_step(high - low, wanted);
  const double first = std::ceil(low / step - 1e-6);
  for (double i = first; i * step <= high + 1e-6 * step && ticks.size() <= 2 * wanted + 2; ++i) {
    ticks.push_back(i == 0 ? 0 : i * step);
  }
  return ticks;
}

}  // namespace headrace::cli
