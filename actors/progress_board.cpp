#include "actors/progress_board.hpp"

#include "worker/metrics/score_book.hpp"

namespace headrace::actors {

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
}

}  // namespace headrace::actors
