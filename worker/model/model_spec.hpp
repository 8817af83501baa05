#pragma once

#include "base/ids.hpp"

#include <cstdint>
#include <string>

namespace headrace::worker {

/// Which layers stand between a batch's rows and its loss.
enum class model_arch : std::uint8_t {
  lr,  // logistic regression: bias + Σ w x
  fm,  // factorization machine: lr + ½ Σ_k [(Σ v x)² − Σ (v x)²] (Rendle, ICDM'10, eq. 1 and 3)
  count,  // adds one to a row for each occurrence: a frequency table, and the exact oracle of the
          // kill test
};

/// A model as the job file names it. Rows of `embedding` are [w, v_1 … v_dim]; `bias` holds one
/// row, key 0.
struct model_spec {
  model_arch arch = model_arch::fm;
  std::uint32_t dim = 8;  // latent values of fm; 0 for lr and count
  table_id embedding{0};
  table_id bias{1};
  friend bool operator==(const model_spec&, const model_spec&) = default;
};

}  // namespace headrace::worker
