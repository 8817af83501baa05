#include "cli/pages/svg_chart.hpp"

#include "cli/pages/chart_axis.hpp"
#include "cli/pages/html_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t points_max = 400;  // more than a screen can tell apart
constexpr double label_gap = 15;         // between two end labels, one line of text

std::string print(const char* format, auto... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

// ---- drawing

/// Where values and moments lie in the picture.
class plot {
 public:
  plot(const chart& what, const chart_size& size, std::size_t ticks)
      : size_(size), x_(time_axis(what)), y_(value_axis(what, ticks)) {}

  double x(double seconds) const {
    return left() + (seconds - x_.low) / x_.span() * (right() - left());
  }
  double y(double value) const {
    return bottom() - (value - y_.low) / y_.span() * (bottom() - top());
  }
  double left() const { return 52; }
  double right() const { return size_.width - 56; }
  double top() const { return 30; }
  double bottom() const { return size_.height - 42; }
  const range& times() const { return x_; }
  const range& values() const { return y_; }

 private:
  chart_size size_;
  range x_;
  range y_;
};

const char* css_class(line_look look) {
  switch (look) {
    case line_look::strong:
      return "strong";
    case line_look::faint:
      return "faint";
    case line_look::still:
      return "still";
  }
  return "strong";
}

std::string draw_value_axis(const chart& what, const plot& at, std::size_t wanted) {
  std::string out = "<g class=\"axis\">";
  auto ticks = round_ticks(at.values().low, at.values().high, wanted);
  if (what.whole_values) std::erase_if(ticks, [](double tick) { return tick != std::floor(tick); });
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : at.values().span();
  for (const double tick : ticks) {
    const double y = at.y(tick);
    const bool base = std::abs(y - at.bottom()) < 0.5;
    out += print("<path class=\"%s\" d=\"M%.1f %.1fH%.1f\"/>",
                 base ? "base" : "rule",
                 at.left(),
                 y,
                 at.right());
    out += print("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", at.left() - 8, y + 4);
    out += tick_text(tick, step, what.format) + "</text>";
  }
  out += print("<text class=\"label\" x=\"%.1f\" y=\"14\">", 2.0) + escape_html(what.y_label) +
         "</text></g>";
  return out;
}

std::string draw_time_axis(const plot& at, const chart_size& size) {
  const auto unit = unit_for(at.times().high);
  const auto ticks = round_ticks(0, at.times().high / unit.seconds, size.width > 600 ? 10 : 5);
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  std::string out = "<g class=\"axis\">";
  out += print("<path class=\"base\" d=\"M%.1f %.1fH%.1f\"/>", at.left(), at.bottom(), at.right());
  for (const double tick : ticks) {
    const double x = at.x(tick * unit.seconds);
    out += print("<path class=\"base\" d=\"M%.1f %.1fv4\"/>", x, at.bottom());
    out += print("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x, at.bottom() + 18);
    out += step < 1 ? fixed(tick, decimals_for(step)) : whole(tick);
    out += "</text>";
  }
  out += print(
      "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s since the "
      "start</text></g>",
      at.right(),
      size.height - 6,
      unit.name);
  return out;
}

std::string path_of(const std::vector<chart_stretch>& stretches, const plot& at) {
  std::string path;
  bool down = false;
  for (const auto& s : stretches) {
    if (!std::isfinite(s.mean)) {
      down = false;
      continue;
    }
    path += print("%c%.1f %.1f", down ? 'L' : 'M', at.x(s.x), at.y(s.mean));
    down = true;
  }
  return path;
}

// The area between `upper`, there, and `lower`, back; gaps are bridged.
std::string area_between(const std::vector<chart_stretch>& there,
                         double chart_stretch::*upper,
                         const std::vector<chart_stretch>& back,
                         double chart_stretch::*lower,
                         const plot& at) {
  std::string path;
  const auto add = [&](const chart_stretch& s, double value) {
    if (std::isfinite(value))
      path += print("%c%.1f %.1f", path.empty() ? 'M' : 'L', at.x(s.x), at.y(value));
  };
  for (const auto& s : there) add(s, s.*upper);
  for (auto s = back.rbegin(); s != back.rend(); ++s) add(*s, (*s).*lower);
  return path.empty() ? path : path + "Z";
}

// Whether points that were drawn as one lie far enough apart to be seen, given the span of the
// axis.
bool has_band(const std::vector<chart_stretch>& stretches, double span) {
  return std::any_of(stretches.begin(), stretches.end(), [&](const auto& s) {
    return s.high - s.low > 0.01 * span;
  });
}

std::string draw_line(const chart_line& line, const plot& at) {
  const auto stretches = summarize(line.points, points_max);
  const std::string path = path_of(stretches, at);
  if (path.empty()) return {};
  const char* look = css_class(line.look);
  std::string out;
  if (has_band(stretches, at.values().span())) {
    out += print("<path class=\"band %s\" d=\"", look);
    out +=
        area_between(stretches, &chart_stretch::high, stretches, &chart_stretch::low, at) + "\"/>";
  }
  return out + print("<path class=\"line %s\" d=\"", look) + path + "\"/>";
}

const chart_line* first_with(const chart& what, line_look look) {
  const auto found = std::find_if(
      what.lines.begin(), what.lines.end(), [&](const auto& l) { return l.look == look; });
  return found == what.lines.end() ? nullptr : &*found;
}

std::string draw_gap(const chart& what, const plot& at) {
  const auto* upper = first_with(what, line_look::strong);
  const auto* lower = first_with(what, line_look::still);
  if (!what.shade_gap || upper == nullptr || lower == nullptr) return {};
  const auto path = area_between(summarize(upper->points, points_max),
                                 &chart_stretch::mean,
                                 summarize(lower->points, points_max),
                                 &chart_stretch::mean,
                                 at);
  return path.empty() ? path : "<path class=\"gap\" d=\"" + path + "\"/>";
}

std::string draw_mark(const chart& what, const plot& at) {
  if (!what.mark || !(what.mark->x >= 0 && what.mark->x <= at.times().high)) return {};
  const double x = at.x(what.mark->x);
  const double wide = 7.5 * static_cast<double>(what.mark->text.size());  // at 13 px, generous
  const bool to_left = x + 6 + wide > at.right();
  std::string out = "<g class=\"mark\">";
  out += print("<path d=\"M%.1f %.1fV%.1f\"/>", x, at.top() - 4, at.bottom());
  out += print("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
               to_left ? x - 6 : x + 6,
               at.top() + 7,
               to_left ? "end" : "start");
  return out + escape_html(what.mark->text) + "</text></g>";
}

const chart_point* last_value(const chart_line& line) {
  const auto found = std::find_if(line.points.rbegin(), line.points.rend(), is_measured);
  return found == line.points.rend() ? nullptr : &*found;
}

struct end_label {
  const chart_line* line;
  chart_point point;
  double y = 0;
};

// Pushes labels apart, from the top down and, where the frame ends, back up.
void spread(std::vector<end_label>& labels, double top, double bottom) {
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) { return a.y < b.y; });
  double next = top;
  for (auto& label : labels) {
    label.y = std::max(label.y, next);
    next = label.y + label_gap;
  }
  next = bottom;
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    label->y = std::min(label->y, next);
    next = label->y - label_gap;
  }
}

std::string draw_ends(const chart& what, const plot& at) {
  std::vector<end_label> labels;
  std::string out;
  for (const auto& line : what.lines) {
    const auto* last = last_value(line);
    if (last == nullptr) continue;
    if (line.look != line_look::faint || what.lines.size() == 1)
      labels.push_back({&line, *last, at.y(last->y)});
    out += print("<circle class=\"%s dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>",
                 css_class(line.look),
                 at.x(last->x),
                 at.y(last->y),
                 line.look == line_look::faint ? "2" : "3.5");
  }
  spread(labels, at.top(), at.bottom());
  for (const auto& label : labels) {
    out += print("<text class=\"end %s\" x=\"%.1f\" y=\"%.1f\">",
                 css_class(label.line->look),
                 at.right() + 8,
                 label.y + 4);
    const bool counted = what.format == value_format::count;
    out +=
        (counted ? compact(label.point.y) : format_value(label.point.y, what.format)) + "</text>";
  }
  return out;
}

// ---- readouts

// The line's point nearest to `x`, if it has one within `reach`.
const chart_point* nearest(const chart_line& line, double x, double reach) {
  const auto& points = line.points;
  const auto after =
      std::lower_bound(points.begin(), points.end(), x, [](const chart_point& p, double moment) {
        return p.x < moment;
      });
  const chart_point* best = nullptr;
  const auto consider = [&](const chart_point& p) {
    if (!is_measured(p) || std::abs(p.x - x) > reach) return;
    if (best == nullptr || std::abs(p.x - x) < std::abs(best->x - x)) best = &p;
  };
  if (after != points.end()) consider(*after);
  if (after != points.begin()) consider(*(after - 1));
  return best;
}

std::vector<double> readout_moments(const chart& what, std::size_t limit) {
  std::vector<double> all;
  for (const auto& line : what.lines) {
    for (const auto& p : line.points) {
      if (is_measured(p)) all.push_back(p.x);
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() <= limit || limit < 2) return all;
  std::vector<double> chosen;
  for (std::size_t i = 0; i < limit; ++i) chosen.push_back(all[i * (all.size() - 1) / (limit - 1)]);
  return chosen;
}

std::string draw_readout(const chart& what, const plot& at, double moment, double from, double to) {
  std::string dots;
  std::string text = people_duration(moment);
  for (const auto& line : what.lines) {
    const auto* point = nearest(line, moment, 1e-9 + 1e-6 * at.times().span());
    if (point == nullptr) continue;
    dots += print("<circle class=\"%s dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>",
                  css_class(line.look),
                  at.x(point->x),
                  at.y(point->y));
    text += "  " + (line.short_name.empty() ? "" : escape_html(line.short_name) + " ");
    text += format_value(point->y, what.format);
  }
  std::string out = "<g class=\"at\">";
  out += print(
      "<rect x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%.1f\"/>", from, to - from, at.bottom());
  out += print("<path d=\"M%.1f %.1fV%.1f\"/>", at.x(moment), at.top(), at.bottom()) + dots;
  out += print("<text x=\"%.1f\" y=\"14\" text-anchor=\"end\">", at.right());
  return out + text + "</text></g>";
}

std::string draw_readouts(const chart& what, const plot& at, std::size_t limit) {
  const auto moments = readout_moments(what, limit);
  std::string out;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const double from = i == 0 ? at.left() : at.x((moments[i - 1] + moments[i]) / 2);
    const double to =
        i + 1 == moments.size() ? at.right() : at.x((moments[i] + moments[i + 1]) / 2);
    out += draw_readout(what, at, moments[i], from, to);
  }
  return out;
}

// Mean, lowest and highest of some points; all NaN when none of them is measured.
chart_stretch one_stretch(std::span<const chart_point> points) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  chart_stretch made{points[points.size() / 2].x, none, none, none};
  double sum = 0;
  double measured = 0;
  for (const auto& p : points) {
    if (!is_measured(p)) continue;
    made.low = measured == 0 ? p.y : std::min(made.low, p.y);
    made.high = measured == 0 ? p.y : std::max(made.high, p.y);
    sum += p.y;
    ++measured;
  }
  if (measured > 0) made.mean = sum / measured;
  return made;
}

std::string describe_line(const chart_line& line, value_format format) {
  const chart_point* first = nullptr;
  const chart_point* last = nullptr;
  const chart_point* low = nullptr;
  const chart_point* high = nullptr;
  for (const auto& p : line.points) {
    if (!is_measured(p)) continue;
    if (first == nullptr) first = low = high = &p;
    last = &p;
    if (p.y < low->y) low = &p;
    if (p.y > high->y) high = &p;
  }
  if (first == nullptr) return line.name + ": not measured.";
  const auto at = [&](const chart_point& p) {
    return format_value(p.y, format) + " at " + people_duration(p.x);
  };
  if (first == last) return line.name + ": " + at(*first) + ".";
  return line.name + ": from " + at(*first) + " to " + at(*last) + "; lowest " +
         format_value(low->y, format) + ", highest " + format_value(high->y, format) + ".";
}

}  // namespace

std::vector<chart_stretch> summarize(const std::vector<chart_point>& points, std::size_t limit) {
  std::vector<chart_stretch> out;
  const std::size_t count = std::min(points.size(), std::max<std::size_t>(limit, 3));
  for (std::size_t i = 0; i < count; ++i) {
    // First and last stand for themselves, so that a line starts and ends where the run did.
    const auto bound = [&](std::size_t s) {
      return s == 0       ? 0
             : s >= count ? points.size()
                          : 1 + (s - 1) * (points.size() - 2) / std::max<std::size_t>(count - 2, 1);
    };
    out.push_back(one_stretch(std::span(points).subspan(bound(i), bound(i + 1) - bound(i))));
  }
  return out;
}

bool has_values(const chart& what) {
  return std::any_of(what.lines.begin(), what.lines.end(), [](const auto& line) {
    return last_value(line) != nullptr;
  });
}

std::string describe_chart(const chart& what) {
  std::string out;
  for (const auto& line : what.lines)
    out += (out.empty() ? "" : " ") + describe_line(line, what.format);
  if (what.mark)
    out += " Marked at " + people_duration(what.mark->x) + ": " + what.mark->text + ".";
  return out;
}

std::string chart_legend(const chart& what) {
  std::string out = "<ul class=\"legend\">";
  for (const auto& line : what.lines) {
    out += print(
               "<li><svg aria-hidden=\"true\" viewBox=\"0 0 26 10\" width=\"26\" height=\"10\">"
               "<path class=\"line %s\" d=\"M1 5H25\"/></svg>",
               css_class(line.look)) +
           escape_html(line.name) + "</li>";
  }
  const double span = value_axis(what, 4).span();
  const bool banded = std::any_of(what.lines.begin(), what.lines.end(), [&](const auto& line) {
    return has_band(summarize(line.points, points_max), span);
  });
  if (banded) {
    out +=
        "<li><svg aria-hidden=\"true\" viewBox=\"0 0 26 10\" width=\"26\" height=\"10\">"
        "<path class=\"band strong\" d=\"M1 0H25V10H1Z\"/></svg>lowest to highest</li>";
  }
  return out + "</ul>";
}

std::string svg_chart(const chart& what, const chart_size& size) {
  if (!has_values(what))
    return "<p class=\"nothing\">No value was taken: the run ended before its first point.</p>";
  const std::size_t ticks = size.height > 320 ? 6 : 4;
  const plot at(what, size, ticks);
  std::string out =
      print("<svg class=\"chart %s\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
            size.css_class,
            size.width,
            size.height);
  out += escape_html(what.title) + "\">";
  out += "<desc>" + escape_html(describe_chart(what)) + "</desc>";
  out += draw_value_axis(what, at, ticks) + draw_time_axis(at, size) + draw_gap(what, at) +
         draw_mark(what, at);
  for (const auto& line : what.lines) out += draw_line(line, at);
  return out + draw_ends(what, at) + draw_readouts(what, at, size.readouts_max) + "</svg>";
}

}  // namespace headrace::cli
