#include "actors/progress_board.hpp"

#include "worker/metrics/score_book.hpp"

namespace headrace::actors {
namespace {

head_figures figures_of(const std::string& name, const worker::head_scores& of) {
  head_figures made;
  made.name = name;
  made.positive_share = of.all.positive_share();
  made.auc = of.all.auc();
  made.logloss = of.all.logloss();
  made.calibration = of.all.calibration();
  made.auc_tail = of.since_freeze.auc();
  made.logloss_tail = of.since_freeze.logloss();
  made.auc_frozen = of.frozen.auc();
  made.logloss_frozen = of.frozen.logloss();
  return made;
}

}  // namespace

void copy_figures(const worker::score_book& book, progress& into) {
  into.samples = book.all().samples();
  into.batches = book.batches();
  into.batches_missed = book.batches_missed();
  into.auc = book.all().auc();
  into.auc_recent = book.all().recent_auc();
  into.logloss = book.all().logloss();
  into.calibration = book.all().calibration();
  into.second_half_samples = book.second_half().samples();
  into.auc_second_half = book.second_half().auc();
  into.frozen_second_half_samples = book.frozen_second_half().samples();
  into.auc_frozen_second_half = book.frozen_second_half().auc();
  into.tail_samples = book.since_freeze().samples();
  into.auc_tail = book.since_freeze().auc();
  into.logloss_tail = book.since_freeze().logloss();
  into.auc_frozen = book.frozen().auc();
  into.logloss_frozen = book.frozen().logloss();
  into.heads.clear();
  for (std::size_t h = 0; book.heads().size() > 1 && h < book.heads().size(); ++h)
    into.heads.push_back(figures_of(book.heads()[h].name, book.of(h)));
}

}  // namespace headrace::actors
