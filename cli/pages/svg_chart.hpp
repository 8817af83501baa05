#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

/// Line charts over time as inline SVG: no script, no fixed colours (classes, coloured by the
/// page's style), readable by a screen reader. Readouts on hover are plain CSS.
namespace headrace::cli {

/// A value at a moment; a `y` that is not finite (or beyond ± 10³⁰) is a gap in the line.
struct chart_point {
  double x = 0;  // seconds, 0 … 10¹²
  double y = 0;
};

enum class line_look {
  strong,  // the subject
  faint,   // the same, in another window
  still,   // what it is compared with: grey, dashed
};

struct chart_line {
  std::string name;        // in the legend
  std::string short_name;  // in the readout; may be empty when there is one line
  line_look look = line_look::strong;
  std::vector<chart_point> points;  // x never decreasing
};

enum class value_format { ratio, count, bytes };

/// A moment to mark on the time axis.
struct chart_mark {
  double x = 0;  // seconds
  std::string text;
};

/// Texts are plain; the chart escapes them.
struct chart {
  std::string title;
  std::string y_label;  // with its unit
  value_format format = value_format::count;
  bool from_zero = true;      // the axis of values starts at 0
  bool shade_gap = false;     // fills between the first strong and the first still line
  bool whole_values = false;  // ticks at whole numbers only
  std::vector<chart_line> lines = {};
  std::optional<chart_mark> mark = {};
};

/// In user units of the viewBox; the page scales it.
struct chart_size {
  double width = 400;
  double height = 240;
  std::size_t readouts_max = 60;
  const char* css_class = "small";
};

/// Whether any line has a value to draw.
bool has_values(const chart& what);

/// `<svg role="img">`, or a short paragraph when there is no value to draw.
std::string svg_chart(const chart& what, const chart_size& size);

/// `<ul>` with a sample of each line and its name.
std::string chart_legend(const chart& what);

/// What the chart shows in words: for each line where it starts and ends, its lowest and highest
/// value.
std::string describe_chart(const chart& what);

/// Neighbouring points as one: drawn as their mean with a band from lowest to highest. All NaN = a
/// gap.
struct chart_stretch {
  double x = 0;
  double mean = 0;
  double low = 0;
  double high = 0;
};

/// At most `limit` (at least 3) stretches, the first and the last of one point each; no point is
/// left out.
std::vector<chart_stretch> summarize(const std::vector<chart_point>& points, std::size_t limit);

/// Round numbers (1, 2, 5 · 10ⁿ apart) from `low` to `high`, about `wanted` of them.
std::vector<double> round_ticks(double low, double high, std::size_t wanted);

/// A value for people in the chart's format.
std::string format_value(double value, value_format format);

}  // namespace headrace::cli
