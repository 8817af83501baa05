#include "cli/next_item_cases.hpp"

#include "base/check.hpp"
#include "worker/ingest/event_source.hpp"

namespace headrace::cli {

result<worker::next_item_ranking> read_cases(const job& described,
                                             const worker::source_spec& source,
                                             const next_item_order& order) {
  const auto parts = worker::find_next_item(*described.model);
  CHECK(parts.has_value());
  worker::source_spec whole = source;
  for (auto& feature : whole.features) {
    if (feature.window) continue;
    feature.list_held_out = 0;
    if (feature.kind == worker::feature_kind::ids) feature.list_max = worker::list_max_most;
  }
  auto events = worker::make_source(whole);
  if (!events) return events.error();
  if (order.from > 0) {
    if (auto skipped = (*events)->skip(order.from); !skipped) return skipped.error();
  }
  worker::next_item_ranking ranking(*parts,
                                    {.held_out = order.held_out,
                                     .history_max = list_feature(source, parts->list).list_max,
                                     .cases_max = order.cases_max});
  worker::event each;
  while ((*events)->position() < order.to) {
    const auto more = (*events)->next(each);
    if (!more) return more.error();
    if (!*more || each.row_number >= order.to) break;
    ranking.add(each);
  }
  return ranking;
}

}  // namespace headrace::cli
