#include "cli/pages/dashboard_view.hpp"

#include "cli/pages/html_text.hpp"
#include "cli/pages/page_parts.hpp"
#include "cli/pages/report_charts.hpp"
#include "schemas/event.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr double recent_seconds = 900;
constexpr std::string_view dash = "–";

std::string row(const std::string& name, const std::string& value) {
  return "<tr><th scope=\"row\">" + name + "</th><td>" + value + "</td></tr>\n";
}

std::string table(const std::string& label, const std::string& head, const std::string& rows) {
  std::string out = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + label +
                    "\"><table class=\"left\">\n";
  if (!head.empty()) out += "<thead><tr>" + head + "</tr></thead>\n";
  return out + "<tbody>\n" + rows + "</tbody></table></div>\n";
}

std::string columns(std::initializer_list<const char*> names) {
  std::string out;
  for (const char* name : names) {
    out += *name == '\0' ? std::string("<td></td>")
                         : "<th scope=\"col\">" + std::string(name) + "</th>";
  }
  return out;
}

// ---- the flow

struct stage {
  std::string name;
  std::string rate;  // with its unit
  std::string all;
  std::string note = {};
  bool warns = false;
};

double rate_of(std::uint64_t now, std::uint64_t before, double seconds) {
  if (seconds <= 0 || now < before) return 0;
  return static_cast<double>(now - before) / seconds;
}

std::string per_second(double rate) {
  return (rate < 10'000 ? whole(rate) : compact(rate)) + " <small>/ s</small>";
}

std::uint64_t refused(const live_figures& live) {
  std::uint64_t sum = 0;
  for (const std::uint64_t each : live.taken.events.refused) sum += each;
  return sum;
}

stage predictions(const serve_figures& served,
                  const flow_counts& counts,
                  const flow_counts& before) {
  const auto& asked = served.asked;
  const bool is_whole = served.stamp.whole;
  const std::uint64_t then = served.stamp.accepted_ms;
  stage made{"predictions answered",
             per_second(rate_of(counts.answered, before.answered, counts.seconds - before.seconds)),
             counted(counts.answered, "answer"),
             is_whole ? "" : "not every row has come yet",
             !is_whole};
  if (asked.turned_away > 0) made.note = with_commas(asked.turned_away) + " told to come again";
  if (is_whole && made.note.empty() && then > 0 && then <= served.now_ms)
    made.note = "newest event in: " + with_commas(served.now_ms - then) + " ms ago";
  return made;
}

std::vector<stage> stages(const dashboard_view& now, const flow_counts& before) {
  const flow_counts counts = count_flow(now);
  const double passed = counts.seconds - before.seconds;
  const auto& learned = now.learned;
  std::vector<stage> all;
  if (now.live) {
    const std::uint64_t bad = refused(*now.live);
    all.push_back({"events accepted",
                   per_second(rate_of(counts.accepted, before.accepted, passed)),
                   counted(counts.accepted, "event"),
                   bad > 0 ? with_commas(bad) + " refused" : "",
                   bad > 0});
    if (now.live->joined) {
      all.push_back({"joined with their actions",
                     per_second(rate_of(counts.joined, before.joined, passed)),
                     counted(counts.joined, "sample"),
                     with_commas(now.live->joined->pending) + " wait for an action"});
    }
  }
  all.push_back({"predicted, then learned",
                 per_second(rate_of(counts.samples, before.samples, passed)),
                 counted(counts.samples, "sample"),
                 learned.bad_rows > 0 ? counted(learned.bad_rows, "bad row") + " left out" : "",
                 learned.bad_rows > 0});
  all.push_back(
      {"pushed to the shards",
       people_bytes(rate_of(counts.push_bytes, before.push_bytes, passed)) + " <small>/ s</small>",
       people_bytes(static_cast<double>(counts.push_bytes)),
       learned.resent > 0 ? with_commas(learned.resent) + " sent again" : ""});
  std::uint64_t rows = 0;
  bool troubled = now.shards.empty();
  for (const auto& shard : now.shards) {
    rows += shard.rows;
    troubled = troubled || !shard.trouble.empty();
  }
  all.push_back({"updates applied",
                 per_second(rate_of(counts.versions, before.versions, passed)),
                 now.shards.empty() ? std::string(dash) : counted(rows, "row"),
                 now.shards.empty() ? "the server does not answer"
                 : troubled         ? "a shard is in trouble"
                                    : "",
                 troubled});
  if (now.served) all.push_back(predictions(*now.served, counts, before));
  return all;
}

std::string flow(const dashboard_view& now, const flow_counts& before) {
  std::string out;
  for (const auto& each : stages(now, before)) {
    out += "<li><span class=\"stage\">" + each.name + "</span><span class=\"rate\">" + each.rate +
           "</span><span class=\"all\">" + each.all + "</span>";
    if (!each.note.empty()) {
      out += std::string("<span class=\"note") + (each.warns ? " warn" : "") + "\">" + each.note +
             "</span>";
    }
    out += "</li>\n";
  }
  return out;
}

// ---- figures

std::string lede(const dashboard_view& now) {
  const auto& f = now.learned;
  std::string out = f.samples == 0
                        ? "Nothing of " + escape_html(now.data) + " was learned yet"
                        : counted(f.samples, "sample") + " of " + escape_html(now.data) +
                              ", each predicted before its label was known, then learned";
  return out + ". This process is at it for " + people_duration(now.seconds) + ".";
}

std::string duel(const dashboard_view& now) {
  const auto& f = now.learned;
  if (f.samples == 0) return term("AUC, learning online", std::string(dash), "strong");
  if (f.tail_samples == 0) {
    return term("AUC, last 10,000 samples", fixed(f.auc_recent, 4), "strong") +
           term("AUC, since the start", fixed(f.auc, 4));
  }
  return term("AUC, learning online", fixed(f.auc_tail, 4), "strong") +
         term("AUC, frozen twin", fixed(f.auc_frozen, 4), "still") +
         term("from learning on",
              (f.auc_tail > f.auc_frozen ? "+" : "") + fixed(f.auc_tail - f.auc_frozen, 4));
}

std::string tiles(const dashboard_view& now) {
  const auto& f = now.learned;
  std::uint64_t bytes = 0;
  for (const auto& shard : now.shards) bytes += shard.bytes;
  std::string out = term("logloss", f.samples > 0 ? fixed(f.logloss, 4) : std::string(dash)) +
                    term("predicted for each real positive",
                         f.samples > 0 ? fixed(f.calibration, 3) : std::string(dash)) +
                    term("staleness, versions", with_commas(f.staleness)) +
                    term("tables in memory", people_bytes(static_cast<double>(bytes)));
  if (now.live) {
    out += term("accepted to trained, median", with_commas(f.available_ms_p50) + " ms") +
           term("accepted to trained, 99 of 100", with_commas(f.available_ms_p99) + " ms");
  } else {
    out += term("batches", with_commas(f.batches)) +
           term("pushes refused for good", with_commas(f.refused));
  }
  return out;
}

std::string shard_rows(const dashboard_view& now) {
  if (now.shards.empty())
    return "<p class=\"nothing\">The server did not answer. Training goes on when it does.</p>";
  std::string rows;
  for (const auto& shard : now.shards) {
    const std::uint64_t asked = shard.hits + shard.fetched + shard.absent;
    rows += "<tr><th scope=\"row\">" + std::to_string(shard.shard.value) + "</th>";
    for (const auto& value :
         {with_commas(shard.rows),
          people_bytes(static_cast<double>(shard.bytes)),
          asked == 0
              ? std::string(dash)
              : fixed(100 * static_cast<double>(shard.hits) / static_cast<double>(asked), 1) + " %",
          with_commas(shard.evicted),
          with_commas(shard.tail_rows),
          with_commas(shard.lsn.value),
          shard.trouble.empty() ? std::string("well")
                                : "<span class=\"warn\">" + escape_html(shard.trouble) + "</span>"})
      rows += "<td>" + value + "</td>";
    rows += "</tr>\n";
  }
  return table("shards",
               columns({"shard",
                        "rows",
                        "memory",
                        "found in memory",
                        "moved to disk",
                        "not yet on disk",
                        "log position",
                        "state"}),
               rows);
}

std::string sources(const dashboard_view& now) {
  if (!now.live)
    return table("source",
                 "",
                 row("read from", escape_html(now.data)) +
                     row("bad rows", with_commas(now.learned.bad_rows)) +
                     (now.learned.bad_row_reasons.empty()
                          ? ""
                          : row("why", escape_html(now.learned.bad_row_reasons))));
  const auto& taken = now.live->taken;
  std::string rows =
      row("accepted", with_commas(taken.events.accepted)) +
      row("duplicates, dropped", with_commas(taken.events.duplicates)) +
      row("waiting in the log", people_bytes(static_cast<double>(taken.unread_bytes)));
  for (std::size_t fault = 0; fault < taken.events.refused.size(); ++fault) {
    if (taken.events.refused[fault] == 0) continue;
    rows += row("refused: " + escape_html(schemas::name(static_cast<schemas::event_fault>(fault))),
                with_commas(taken.events.refused[fault]));
  }
  for (const auto& [what, count] : {std::pair{"batches told to come again", taken.overloaded},
                                    {"batches that could not be read", taken.malformed},
                                    {"batches without a good token", taken.producers.unauthorized},
                                    {"batches the log refused", taken.failed}}) {
    if (count > 0) rows += row(what, with_commas(count));
  }
  return table("source", "", rows);
}

std::string join(const dashboard_view& now) {
  if (!now.live || !now.live->joined)
    return "<p class=\"nothing\">This job's events carry their labels: nothing is joined.</p>";
  const auto& joined = *now.live->joined;
  const auto& count = joined.count;
  return table(
      "join",
      "",
      row("impressions", with_commas(count.impressions)) +
          row("actions", with_commas(count.actions)) +
          row("positive samples", with_commas(count.positives)) +
          row("negative samples", with_commas(count.negatives)) +
          row("corrections", with_commas(count.corrections)) +
          row("actions without impression", with_commas(count.expired_actions)) +
          row("late events", with_commas(count.late_events)) +
          row("waiting, in memory", people_bytes(static_cast<double>(joined.payload_bytes))) +
          row("waiting, on disk", with_commas(joined.spilled)));
}

}  // namespace

flow_counts count_flow(const dashboard_view& now) {
  flow_counts counts;
  counts.seconds = now.seconds;
  counts.samples = now.learned.samples;
  counts.push_bytes = now.learned.push_bytes;
  for (const auto& shard : now.shards) counts.versions += shard.version;
  if (now.served) counts.answered = now.served->asked.answered;
  if (!now.live) return counts;
  counts.accepted = now.live->taken.events.accepted;
  if (now.live->joined) {
    const auto& joined = now.live->joined->count;
    counts.joined = joined.positives + joined.negatives + joined.corrections;
  }
  return counts;
}

std::vector<page_part> figures_now(const dashboard_view& now, const flow_counts& before) {
  return {{"lede", lede(now)},
          {"state", now.stopped.empty() ? "learning" : escape_html(now.stopped)},
          {"flow", flow(now, before)},
          {"duel", duel(now)},
          {"tiles", tiles(now)},
          {"source", sources(now)},
          {"join", join(now)},
          {"shards", shard_rows(now)}};
}

std::vector<page_part> charts_now(const dashboard_view& now,
                                  const std::vector<series_point>& points) {
  auto kept = in_order(points);
  std::vector<page_part> parts;
  parts.push_back(
      {"auc",
       figure(auc_chart(kept, now.learned.tail_samples > 0),
              "<h3>AUC over time</h3>",
              {{.width = 1040, .height = 300, .readouts_max = 100, .css_class = "wide"},
               {.width = 400, .height = 300, .readouts_max = 40, .css_class = "narrow"}})});
  if (!kept.empty()) {
    const double from = kept.back().seconds - recent_seconds;
    const auto first =
        std::ranges::find_if(kept, [from](const series_point& p) { return p.seconds >= from; });
    kept.erase(kept.begin(), first);
  }
  std::string grid;
  for (const auto& what : small_charts(kept)) {
    grid += "<div class=\"card\">" +
            figure(what, "<h3>" + escape_html(what.title) + "</h3>", {chart_size{}}) + "</div>\n";
  }
  parts.push_back({"charts", std::move(grid)});
  return parts;
}

}  // namespace headrace::cli
