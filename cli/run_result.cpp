#include "cli/run_result.hpp"

#include "base/json_line.hpp"
#include "cli/moment.hpp"

#include <cstdio>
#include <fstream>

namespace headrace::cli {
namespace {

std::optional<double> when(bool measured, double value) {
  return measured ? std::optional(value) : std::nullopt;
}

std::vector<std::string> all_notes(const run_result& r) {
  auto notes = r.notes;
  const auto& f = r.figures;
  if (r.samples_this_run == 0) {
    notes.emplace_back("samples_per_second, push_bytes_per_sample: this run learned nothing new");
  }
  if (r.paced) {
    notes.emplace_back(
        "samples_per_second_unpaced: events came at an even rate; --speed max measures it");
  }
  if (f.samples == 0) notes.emplace_back("auc, logloss: no sample was scored");
  if (f.second_half_samples == 0)
    notes.emplace_back("auc_second_half: the stream did not reach its second half");
  if (f.frozen_second_half_samples == 0) {
    notes.emplace_back(
        "auc_frozen_second_half: the stream ended before the twin was frozen or right then");
  } else if (f.frozen_second_half_samples * 1'000 < f.second_half_samples * 999) {
    notes.push_back(
        "auc_frozen_second_half: over the " + std::to_string(f.frozen_second_half_samples) +
        " samples since the freeze, not the whole second half; compare with auc_after_freeze");
  }
  if (f.batches_missed > 0) {
    notes.push_back(std::to_string(f.batches_missed) +
                    " batches were learned before a kill but their scores were not kept; they are "
                    "in no figure");
  }
  return notes;
}

}  // namespace

std::optional<double> run_result::samples_per_second() const {
  return when(samples_this_run > 0 && seconds > 0, static_cast<double>(samples_this_run) / seconds);
}

std::optional<double> run_result::push_bytes_per_sample() const {
  return when(samples_this_run > 0,
              static_cast<double>(push_bytes_this_run) / static_cast<double>(samples_this_run));
}

std::optional<double> run_result::expert_utilisation() const {
  return when(figures.routed_room > 0,
              static_cast<double>(figures.routed - figures.routed_dropped) /
                  static_cast<double>(figures.routed_room));
}

std::optional<double> run_result::expert_dropped_share() const {
  return when(figures.routed > 0,
              static_cast<double>(figures.routed_dropped) / static_cast<double>(figures.routed));
}

namespace {

// Where several labels are predicted; what stands outside is the first one's.
void add_heads(json_line& line, const actors::progress& f) {
  const bool any = f.samples > 0;
  const bool tail = f.tail_samples > 0;
  line.begin_array("heads");
  for (const auto& head : f.heads) {
    line.begin_object_item()
        .add("label", head.name)
        .add("positive_share", when(any, head.positive_share))
        .add("auc", when(any, head.auc))
        .add("logloss", when(any, head.logloss))
        .add("calibration", when(any, head.calibration))
        .add("auc_after_freeze", when(tail, head.auc_tail))
        .add("auc_frozen_after_freeze", when(tail, head.auc_frozen))
        .add("logloss_after_freeze", when(tail, head.logloss_tail))
        .add("logloss_frozen_after_freeze", when(tail, head.logloss_frozen))
        .end();
  }
  line.end();
}

}  // namespace

namespace {

void add_pass(json_line& line, const pass_figures& of) {
  line.add("pass", of.pass)
      .add("hr_at_10", of.hit_rate)
      .add("ndcg_at_10", of.ndcg)
      .add("mrr", of.mrr)
      .add("cases", of.cases);
  if (of.at_ms > 0) line.add("at", moment_text(of.at_ms));
}

// Of a replayed job: the best of the validated passes, and all of them.
void add_passes(json_line& line, const run_result& r) {
  const auto best = best_of(r.passes);
  if (!best) return;
  line.begin_object("best_pass");
  add_pass(line, *best);
  line.end().begin_array("passes");
  for (const pass_figures& each : r.passes) {
    line.begin_object_item();
    add_pass(line, each);
    line.end();
  }
  line.end();
}

}  // namespace

std::string to_json(const run_result& r) {
  const auto& f = r.figures;
  const bool tail = f.tail_samples > 0;
  json_line line;
  line.add("job", r.job)
      .add("samples", f.samples)
      .add("samples_per_second", r.samples_per_second())
      .add("samples_per_second_unpaced", r.paced ? std::nullopt : r.samples_per_second())
      .add("auc", when(f.samples > 0, f.auc))
      .add("auc_second_half", when(f.second_half_samples > 0, f.auc_second_half))
      .add("auc_frozen_second_half",
           when(f.frozen_second_half_samples > 0, f.auc_frozen_second_half))
      .add("logloss", when(f.samples > 0, f.logloss))
      .add("calibration", when(f.samples > 0, f.calibration))
      .add("push_bytes_per_sample", r.push_bytes_per_sample())
      .add("memory_bytes", r.memory_bytes)
      .add("data", r.data)
      .add("freeze_at", r.freeze_at)
      .add("samples_after_freeze", f.tail_samples)
      .add("auc_after_freeze", when(tail, f.auc_tail))
      .add("auc_frozen_after_freeze", when(tail, f.auc_frozen))
      .add("logloss_after_freeze", when(tail, f.logloss_tail))
      .add("logloss_frozen_after_freeze", when(tail, f.logloss_frozen))
      .add("batches", f.batches)
      .add("history", f.history)
      .add("rows", r.rows)
      .add("table_bytes", r.table_bytes)
      .add("bad_rows", f.bad_rows)
      .add("voided", f.refused)
      .add("resent", f.resent)
      .add("staleness", f.staleness)
      .add("precision", f.precision)
      .add("steps_not_finite", f.steps_not_finite)
      .add("precision_checks", f.precision_checks)
      .add("precision_promotions", f.precision_promotions)
      .add("loss_scale", f.loss_scale)
      .add("expert_utilisation", r.expert_utilisation())
      .add("expert_dropped_share", r.expert_dropped_share())
      .add("seconds", r.seconds)
      .add("log", r.log_mode)
      .add("interrupted", r.interrupted)
      .add("resumed", r.resumed)
      .add("state", r.state);
  if (r.report.empty()) {
    line.add_null("report");
  } else {
    line.add("report", r.report);
  }
  if (!f.heads.empty()) add_heads(line, f);
  add_passes(line, r);
  line.begin_array("notes");
  for (const auto& note : all_notes(r)) line.add_item(note);
  line.end();
  return line.text();
}

namespace {

template <class... Values>
void print(std::string& out, const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  out += text;
}

}  // namespace

std::string to_summary(const run_result& r) {
  const auto& f = r.figures;
  std::string out;
  print(out, "\n%llu samples of %s", static_cast<unsigned long long>(f.samples), r.data.c_str());
  if (const auto speed = r.samples_per_second())
    print(out, ", %.0f a second%s", *speed, r.paced ? " (paced)" : "");
  out += r.interrupted ? ", interrupted\n" : "\n";
  if (f.samples > 0) print(out, "  all            AUC %.4f   logloss %.4f\n", f.auc, f.logloss);
  if (f.tail_samples > 0) {
    print(out,
          "  after %.0f %%     AUC %.4f   logloss %.4f   learning online\n",
          100 * r.freeze_at,
          f.auc_tail,
          f.logloss_tail);
    print(out,
          "                 AUC %.4f   logloss %.4f   its twin, frozen at %.0f %%\n",
          f.auc_frozen,
          f.logloss_frozen,
          100 * r.freeze_at);
  }
  for (const auto& head : f.heads) {
    if (f.samples == 0) break;
    print(out,
          "  AUC %.4f   logloss %.4f   calibration %.3f",
          head.auc,
          head.logloss,
          head.calibration);
    if (f.tail_samples > 0)
      print(out,
            "   after %.0f %% %.4f, twin %.4f",
            100 * r.freeze_at,
            head.auc_tail,
            head.auc_frozen);
    out += "   " + head.name + "\n";
  }
  if (const auto best = best_of(r.passes)) {
    print(out,
          "  validation     HR@10 %.4f   NDCG@10 %.4f   MRR %.4f   best pass %llu, the last %llu\n",
          best->hit_rate,
          best->ndcg,
          best->mrr,
          static_cast<unsigned long long>(best->pass),
          static_cast<unsigned long long>(r.passes.back().pass));
    if (best->pass < r.passes.back().pass && best->at_ms > 0) {
      out += "                 the best pass: eval --at " + moment_text(best->at_ms) +
             ", or rewind --to it\n";
    }
  }
  print(out,
        "  %llu rows, %.1f MB in tables, %.1f MB resident",
        static_cast<unsigned long long>(r.rows),
        static_cast<double>(r.table_bytes) / 1e6,
        static_cast<double>(r.memory_bytes) / 1e6);
  if (const auto bytes = r.push_bytes_per_sample())
    print(out, ", %.0f bytes pushed a sample", *bytes);
  out += "\n";
  if (f.routed > 0)
    print(out,
          "  experts %.1f %% full, %.2f %% of what was sent to them dropped\n",
          100 * r.expert_utilisation().value_or(0.0),
          100 * r.expert_dropped_share().value_or(0.0));
  if (f.history > 0)
    print(out, "  %llu samples of history mixed in\n", static_cast<unsigned long long>(f.history));
  if (f.bad_rows > 0) {
    print(out, "  %llu bad rows left out: ", static_cast<unsigned long long>(f.bad_rows));
    out += f.bad_row_reasons + "\n    first: " + f.first_bad_row + "\n";
  }
  for (const auto& note : r.notes) out += "  note: " + note + "\n";
  if (!r.report.empty()) out += "  report  " + r.report + "\n";
  out += "  state   " + r.state + "\n";
  return out;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

}  // namespace headrace::cli
