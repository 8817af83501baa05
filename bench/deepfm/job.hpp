#pragma once

#include "base/result.hpp"
#include "schemas/schema.hpp"
#include "worker/model/model_graph.hpp"

#include <cstdint>
#include <memory>

namespace headrace::bench {

/// The model of deepfm.toml and its tables: everything learns by Adagrad at 0.01 from accumulators
/// of 0, as in torch_deepfm.py.
struct deepfm_job {
  std::shared_ptr<const worker::model_graph> model;
  schemas::job_schema schema;
};
/// Fails: bad_config, where the model text is wrong.
result<deepfm_job> make_deepfm_job(std::uint32_t shards);

}  // namespace headrace::bench
