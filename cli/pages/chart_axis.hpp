#pragma once

#include "cli/pages/svg_chart.hpp"

#include <cstddef>
#include <string>

/// What a chart's axes show: from where to where, at which ticks, in which words. No drawing here.
namespace headrace::cli {

struct range {
  double low = 0;
  double high = 1;
  double span() const { return high - low; }
};

/// False for a gap of the line: see chart_point.
bool is_measured(const chart_point& p);

/// The axis of values, wide enough to read: a flat line is not stretched into noise, no line
/// touches the frame.
range value_axis(const chart& what, std::size_t ticks);
/// From 0 to the last moment.
range time_axis(const chart& what);

/// The unit that leaves an axis of time with small numbers.
struct time_unit {
  double seconds;
  const char* name;
};
time_unit unit_for(double seconds);

/// Digits behind the point that tell ticks `step` apart.
int decimals_for(double step);
/// A tick's text, where ticks are `step` apart.
std::string tick_text(double value, double step, value_format format);

}  // namespace headrace::cli
