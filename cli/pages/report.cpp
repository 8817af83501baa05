#include "cli/pages/report.hpp"

#include "cli/pages/html_text.hpp"
#include "cli/pages/page_parts.hpp"
#include "cli/pages/report_charts.hpp"
#include "cli/pages/report_heads.hpp"
#include "cli/pages/report_style.hpp"
#include "cli/pages/svg_chart.hpp"
#include "storage/file_io.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr double unmeasured = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t table_rows_max = 14;
constexpr std::string_view dash = "–";

// ---- what a run measured

bool has_twin(const run_result& r) { return r.figures.tail_samples > 0; }

std::string share_text(double share) {
  const double percent = 100 * share;
  return fixed(percent, percent == std::floor(percent) ? 0 : 1) + " %";
}

// ---- small pieces of HTML; `value` and `text` are HTML already, names of things are ours

std::string fact(std::string_view name, const std::string& value, const std::string& meaning = "") {
  std::string out = "<dt>";
  out.append(name).append("</dt><dd>").append(value);
  if (!meaning.empty()) out += "<br /><small>" + meaning + "</small>";
  return out + "</dd>";
}

std::string cell(const std::string& value) { return "<td>" + value + "</td>"; }

std::string auc_cell(bool measured, double value) {
  return cell(measured ? fixed(value, 4) : std::string(dash));
}

// ---- head

std::string head(const run_result& r) {
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n";
  // Nothing is fetched and nothing runs, whatever the texts below say.
  out +=
      "<meta http-equiv=\"Content-Security-Policy\" "
      "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\" />\n";
  out +=
      "<meta name=\"color-scheme\" content=\"light dark\" />\n<link rel=\"icon\" href=\"data:,\" "
      "/>\n";
  out += "<title>" + escape_html(r.job) + " – Headrace run report</title>\n<style>";
  return out.append(report_style).append("</style>\n</head>\n");
}

std::string lede(const run_result& r) {
  const auto& f = r.figures;
  if (f.samples == 0) return "No sample of " + escape_html(r.data) + " was scored.";
  std::string out = counted(f.samples, "sample") + " of " + escape_html(r.data);
  if (r.seconds > 0 && !r.resumed) out += ", in " + people_duration(r.seconds);
  return out + ". Each was predicted before its label was known, then learned.";
}

std::string badges(const run_result& r) {
  std::string out;
  if (r.interrupted) out += "<li class=\"warn\">Stopped early: figures so far</li>";
  if (r.resumed) out += "<li>Resumed: figures cover all its runs</li>";
  if (r.paced) out += "<li>Paced: events came at an even rate</li>";
  if (r.figures.bad_rows > 0) {
    out += "<li class=\"warn\">" + counted(r.figures.bad_rows, "bad row") + " left out</li>";
  }
  return out.empty() ? out : "<ul class=\"badges\">" + out + "</ul>";
}

std::string header(const run_result& r) {
  std::string out = "<header>\n<p class=\"brand\">";
  out.append(page_wheel).append("<span><b>Headrace</b> run report</span></p>\n");
  out += "<h1>" + escape_html(r.job) + "</h1>\n<p class=\"lede\">" + lede(r) + "</p>\n";
  return out + badges(r) + "</header>\n";
}

// ---- the story: learning on against standing still

std::string gain_text(const run_result& r) {
  const double gain = r.figures.auc_tail - r.figures.auc_frozen;
  const std::string text = fixed(gain, 4);
  return gain >= 0.00005 && std::isfinite(gain) ? "+" + text : text;
}

std::string duel(const run_result& r) {
  const auto& f = r.figures;
  std::string out = "<dl class=\"duel\">";
  if (has_twin(r)) {
    out += term("AUC, learning online", fixed(f.auc_tail, 4), "strong");
    out += term("AUC, frozen twin", fixed(f.auc_frozen, 4), "still");
    out += term("from learning on", gain_text(r));
  } else {
    out +=
        term("AUC, learning online", f.samples > 0 ? fixed(f.auc, 4) : std::string(dash), "strong");
  }
  return out + "</dl>\n";
}

std::string why(const run_result& r) {
  if (!has_twin(r)) {
    return "Every prediction is scored before its sample is learned. There is no frozen twin to "
           "compare with: the "
           "stream ended before " +
           share_text(r.freeze_at) + ", where it would have been copied, or right then.";
  }
  return "At " + share_text(r.freeze_at) +
         " of the stream a copy of the model stopped learning. Both then predicted the same " +
         counted(r.figures.tail_samples, "sample") + ".";
}

std::string story(const run_result& r,
                  const std::vector<series_point>& points,
                  const std::optional<chart_mark>& mark) {
  chart auc = auc_chart(points, has_twin(r));
  auc.mark = mark;
  const std::string heading =
      has_twin(r) ? "What learning online is worth" : "How well it predicts";
  return "<section class=\"card\" aria-labelledby=\"story\">\n<h2 id=\"story\">" + heading +
         "</h2>\n<p class=\"why\">" + why(r) + "</p>\n" + duel(r) +
         figure(auc,
                "<h3>AUC over time</h3>",
                {{.width = 1040, .height = 390, .readouts_max = 100, .css_class = "wide"},
                 {.width = 400, .height = 300, .readouts_max = 40, .css_class = "narrow"}}) +
         "</section>\n";
}

std::string tiles(const run_result& r) {
  const auto& f = r.figures;
  const auto rate = r.samples_per_second();
  const auto bytes = r.push_bytes_per_sample();
  std::string out = "<dl class=\"card tiles\">";
  out += term("samples", with_commas(f.samples));
  out +=
      term(r.paced ? "samples / s, paced" : "samples / s", rate ? whole(*rate) : std::string(dash));
  out += term("logloss", f.samples > 0 ? fixed(f.logloss, 4) : std::string(dash));
  out += term("rows in the tables", with_commas(r.rows));
  out += term("pushed / sample", bytes ? people_bytes(*bytes) : std::string(dash));
  out += term(
      "resident memory",
      r.memory_bytes > 0 ? people_bytes(static_cast<double>(r.memory_bytes)) : std::string(dash));
  return out + "</dl>\n";
}

std::string over_time(const std::vector<series_point>& points,
                      const std::optional<chart_mark>& mark) {
  if (points.empty()) return {};
  std::string out =
      "<section aria-labelledby=\"over\">\n<h2 class=\"over\" id=\"over\">Over time</h2>\n<div "
      "class=\"grid\">\n";
  for (auto& what : small_charts(points)) {
    if (mark) what.mark = chart_mark{mark->x, "freeze"};
    out += "<div class=\"card\">" +
           figure(what, "<h3>" + escape_html(what.title) + "</h3>", {chart_size{}}) + "</div>\n";
  }
  return out + "</div>\n</section>\n";
}

// ---- tables

std::string compare_row(
    const std::string& what, std::uint64_t samples, bool online, double auc, double logloss) {
  std::string out = "<tr><th scope=\"row\">" + what + "</th>" + cell(with_commas(samples)) +
                    auc_cell(online, auc);
  return out + auc_cell(online && std::isfinite(logloss), logloss) + "</tr>\n";
}

std::string quality(const run_result& r) {
  const auto& f = r.figures;
  std::string out =
      "<section class=\"card\" aria-labelledby=\"quality\">\n<h2 id=\"quality\">Quality</h2>\n<div "
      "class=\"scroll\" tabindex=\"0\" "
      "role=\"region\" aria-labelledby=\"quality\">\n<table "
      "class=\"compare\">\n<thead><tr><td></td><th scope=\"col\">samples"
      "</th><th scope=\"col\">AUC</th><th scope=\"col\">logloss</th></tr></thead>\n<tbody>\n";
  out += compare_row("Online, whole stream", f.samples, f.samples > 0, f.auc, f.logloss);
  const bool halves_differ =
      f.second_half_samples != f.tail_samples || f.frozen_second_half_samples != f.tail_samples;
  if (halves_differ && f.second_half_samples > 0) {
    out += compare_row(
        "Online, second half", f.second_half_samples, true, f.auc_second_half, unmeasured);
  }
  if (halves_differ && f.frozen_second_half_samples > 0) {
    out += compare_row("Frozen twin, second half",
                       f.frozen_second_half_samples,
                       true,
                       f.auc_frozen_second_half,
                       unmeasured);
  }
  if (has_twin(r)) {
    const std::string half = halves_differ ? "" : " (second half)";
    out += compare_row(
        "Online, since the freeze" + half, f.tail_samples, true, f.auc_tail, f.logloss_tail);
    out += compare_row("Frozen twin, since the freeze" + half,
                       f.tail_samples,
                       true,
                       f.auc_frozen,
                       f.logloss_frozen);
  }
  return out + "</tbody>\n</table>\n</div>\n</section>\n";
}

std::string moment_row(const series_point& p) {
  const bool scored = p.samples > 0;
  std::string out = "<tr><th scope=\"row\">" + people_duration(p.seconds) + "</th>" +
                    cell(with_commas(p.samples));
  out +=
      cell(whole(p.samples_per_second)) + auc_cell(scored, p.auc) + auc_cell(scored, p.auc_recent);
  out += auc_cell(p.auc_tail.has_value(), p.auc_tail.value_or(0)) +
         auc_cell(p.auc_frozen.has_value(), p.auc_frozen.value_or(0));
  out += auc_cell(scored, p.logloss) + cell(with_commas(p.rows));
  out += cell(scored ? people_bytes(p.push_bytes_per_sample) : std::string(dash)) +
         cell(with_commas(p.staleness));
  return out +
         cell(p.memory_bytes > 0 ? people_bytes(static_cast<double>(p.memory_bytes))
                                 : std::string(dash)) +
         "</tr>\n";
}

std::string moments(const std::vector<series_point>& points) {
  if (points.empty()) return {};
  std::string out =
      "<section class=\"card\" aria-labelledby=\"values\">\n<details open=\"open\">\n<summary "
      "id=\"values\">The values behind the "
      "charts</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-labelledby=\"values\">\n<table>\n<caption>";
  const std::size_t shown = std::min(points.size(), table_rows_max);
  out += shown < points.size() ? with_commas(shown) + " of " + with_commas(points.size()) +
                                     " points, evenly spread; the last row is the end"
                               : "Every point taken; the last row is the end";
  out += "</caption>\n<thead><tr>";
  for (const char* name : {"time",
                           "samples",
                           "samples&#160;/&#160;s",
                           "AUC, all",
                           "AUC, last 10,000",
                           "AUC since freeze",
                           "AUC frozen",
                           "logloss",
                           "rows",
                           "pushed / sample",
                           "stale&#173;ness",
                           "memory"}) {
    out += std::string("<th scope=\"col\">") + name + "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i < shown; ++i) {
    out +=
        moment_row(points[shown == 1 ? points.size() - 1 : i * (points.size() - 1) / (shown - 1)]);
  }
  return out + "</tbody>\n</table>\n</div>\n</details>\n</section>\n";
}

// ---- the run

std::string log_meaning(const std::string& mode) {
  if (mode == "fsync") return "an acknowledged push survives a power cut";
  if (mode == "os") return "an acknowledged push survives <code>kill -9</code>, not a power cut";
  if (mode == "none") return "an acknowledged push may be lost when the process dies";
  return {};
}

std::string bad_rows(const run_result& r) {
  if (r.figures.bad_rows == 0) return fact("Bad rows", "none");
  std::string meaning;
  if (!r.figures.bad_row_reasons.empty()) meaning = escape_html(r.figures.bad_row_reasons);
  if (!r.figures.first_bad_row.empty()) {
    meaning +=
        (meaning.empty() ? "first: " : "<br />first: ") + escape_html(r.figures.first_bad_row);
  }
  return fact("Bad rows", with_commas(r.figures.bad_rows) + " left out", meaning);
}

std::string the_run(const run_result& r) {
  const auto& f = r.figures;
  const auto rate = r.samples_per_second();
  std::string out =
      "<section class=\"card\" aria-labelledby=\"run\">\n<h2 id=\"run\">The run</h2>\n<dl "
      "class=\"facts\">\n";
  out += fact("Data", escape_html(r.data));
  out +=
      fact("Speed",
           rate ? whole(*rate) + " samples a second" : std::string("not measured"),
           !rate     ? "this run learned nothing new"
           : r.paced ? "events came at an even rate; <code>--speed max</code> shows what it can do"
                     : "");
  out += fact("This run",
              counted(r.samples_this_run, "sample") + " in " + people_duration(r.seconds),
              r.resumed ? "all other figures cover every run of the state folder" : "");
  out +=
      fact("Batches",
           with_commas(f.batches),
           f.batches_missed > 0 ? with_commas(f.batches_missed) +
                                      " more learned before a kill, their scores lost: in no figure"
                                : "");
  out += fact("Pushed",
              people_bytes(static_cast<double>(r.push_bytes_this_run)),
              "gradients as sent in this run, first sending only");
  out += fact("Tables",
              counted(r.rows, "row") + ", " + people_bytes(static_cast<double>(r.table_bytes)),
              "in memory, index included");
  out += fact("Update log", escape_html(r.log_mode), log_meaning(r.log_mode));
  out += fact("Resent / voided",
              with_commas(f.resent) + " / " + with_commas(f.refused),
              "pushes sent again after a refusal or silence / refused for good and skipped");
  if (f.rows_not_finite > 0)
    out +=
        fact("Rows not finite", with_commas(f.rows_not_finite), "gradients left out by the worker");
  if (f.steps_not_finite > 0)
    out += fact("Steps not finite",
                with_commas(f.steps_not_finite),
                "batches of this run that were skipped: their loss or a gradient was not finite");
  if (f.precision != "f32")
    out += fact("Precision",
                escape_html(f.precision),
                with_commas(f.precision_checks) + " checks against f32, " +
                    with_commas(f.precision_promotions) +
                    " of which put a layer into f32 for 1,000 steps");
  if (f.routed > 0)
    out += fact("Experts",
                fixed(100 * r.expert_utilisation().value_or(0.0), 1) + " % full",
                fixed(100 * r.expert_dropped_share().value_or(0.0), 2) +
                    " % of what was sent to them found no room; of this run");
  out += bad_rows(r);
  if (!r.state.empty()) {
    out += fact("State",
                "<code>" + escape_html(r.state) + "</code>",
                "rows, update log and the points of these charts; read them with <code>headrace "
                "inspect</code>");
  }
  out += "</dl>\n</section>\n";
  return out;
}

std::string notes(const run_result& r) {
  if (r.notes.empty()) return {};
  std::string out =
      "<section class=\"card\" aria-labelledby=\"notes\">\n<h2 id=\"notes\">Notes</h2>\n<ul "
      "class=\"notes\">\n";
  for (const auto& note : r.notes) out += "<li>" + escape_html(note) + "</li>\n";
  return out + "</ul>\n</section>\n";
}

}  // namespace

std::string report_html(const run_result& result, const std::vector<series_point>& points) {
  const auto kept = in_order(points);
  std::optional<chart_mark> mark;
  if (const auto moment = freeze_moment(result, kept)) {
    mark = chart_mark{*moment, "frozen at " + share_text(result.freeze_at)};
  }
  std::string out = head(result) + "<body>\n<main>\n" + header(result) + story(result, kept, mark) +
                    tiles(result);
  out += notes(result) + over_time(kept, mark) + quality(result) + heads_section(result.figures) +
         the_run(result) + moments(kept);
  out +=
      "</main>\n<footer>Written by headrace. One file: no script, nothing "
      "fetched.</footer>\n</body>\n</html>\n";
  return out;
}

result<void> write_report(const std::filesystem::path& file,
                          const run_result& result,
                          const std::vector<series_point>& points) {
  return storage::replace_file(file, report_html(result, points));
}

}  // namespace headrace::cli
