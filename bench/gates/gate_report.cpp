#include "bench/gates/gate_report.hpp"

#include "base/json_line.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace headrace::bench {
namespace {

/// Rates as whole numbers: a reader must not think that the digits behind the point mean anything.
double tidy(double value) { return std::fabs(value) >= 1'000 ? std::round(value) : value; }

void add_summary(json_line& line, std::string_view key, const summary& values) {
  line.add(key, tidy(values.median));
  line.begin_array(std::string(key) + "_spread")
      .add_item(tidy(values.min))
      .add_item(tidy(values.max))
      .end();
}

std::string_view words(gate_kind kind) {
  switch (kind) {
    case gate_kind::none:
      return "";
    case gate_kind::at_least:
      return ">=";
    case gate_kind::at_most:
      return "<=";
    case gate_kind::ratio_at_least:
      return "ratio >=";
    case gate_kind::ratio_at_most:
      return "ratio <=";
  }
  return "";
}

/// "3.61 M", "0.42", "287.5".
std::string short_number(double value) {
  char text[32];
  if (std::fabs(value) >= 1e4) {
    std::snprintf(text, sizeof text, "%.2f M", value / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%.4g", value);
  }
  return text;
}

void add_point(json_line& line, const gate_point& point) {
  line.begin_object_item().add("what", point.what).add("unit", point.unit);
  add_summary(line, "ours", summarize(point.ours));
  if (!point.others.empty()) {
    line.add("beside", point.beside);
    add_summary(line, "beside_value", summarize(point.others));
    add_summary(line, "ratio", ratio_of(point.ours, point.others));
  }
  if (point.kind != gate_kind::none) {
    line.add("gate", std::string(words(point.kind)) + " " + short_number(point.gate));
    line.add("met", point.met());
  }
  if (!point.note.empty()) line.add("note", point.note);
  line.end();
}

}  // namespace

bool gate_point::met() const {
  const double value = summarize(ours).median;
  const double ratio = ratio_of(ours, others).median;
  switch (kind) {
    case gate_kind::none:
      return true;
    case gate_kind::at_least:
      return value >= gate;
    case gate_kind::at_most:
      return value <= gate;
    case gate_kind::ratio_at_least:
      return ratio >= gate;
    case gate_kind::ratio_at_most:
      return ratio <= gate;
  }
  return false;
}

std::string to_json(const gate_report& report) {
  json_line line;
  line.add("bench", report.bench).add("workload", report.workload).begin_array("points");
  for (const gate_point& point : report.points) add_point(line, point);
  line.end()
      .add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", report.weight)
      .add("command", report.command);
  if (const char* commit = std::getenv("HEADRACE_COMMIT")) {
    line.add("commit", commit);
  } else {
    line.add_null("commit");
  }
  return line.text();
}

std::string to_table(const gate_report& report) {
  std::string text = report.bench + ": " + report.workload + "\n";
  for (const gate_point& point : report.points) {
    const summary ours = summarize(point.ours);
    text += "  " + point.what + ": " + short_number(ours.median) + " " + point.unit + " [" +
            short_number(ours.min) + " .. " + short_number(ours.max) + "]";
    if (!point.others.empty()) {
      text += "; " + point.beside + " " + short_number(summarize(point.others).median) +
              ", ratio " + short_number(ratio_of(point.ours, point.others).median);
    }
    if (point.kind != gate_kind::none) {
      text += "; gate " + std::string(words(point.kind)) + " " + short_number(point.gate) +
              (point.met() ? ": met" : ": MISSED");
    }
    text += point.note.empty() ? "\n" : " (" + point.note + ")\n";
  }
  return text + "  median [min .. max] of the rounds; " +
         std::to_string(std::thread::hardware_concurrency()) + " cores, " + cpu_model() +
         ", load " + short_number(load_average()) + "; " + report.weight + "\n";
}

}  // namespace headrace::bench
