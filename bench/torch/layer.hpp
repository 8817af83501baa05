#pragma once

#include <span>
#include <string>
#include <vector>

namespace headrace::bench {

/// A tensor of a layer, row-major; its name is that of its file.
struct layer_tensor {
  std::string name;
  std::span<const float> values;
};

/// One layer of a network on our side, with inputs drawn and memory taken before the first step.
class layer {
 public:
  virtual ~layer() = default;
  /// Forward and backward, by all threads: every output anew.
  virtual void step() = 0;
  /// What a step cannot be faster than, where the case names such a limit.
  virtual void limit() {}
  virtual std::vector<layer_tensor> inputs() const = 0;
  /// What both sides compute from them.
  virtual std::vector<layer_tensor> outputs() const = 0;
};

/// What is compared, in words and numbers.
struct layer_case {
  std::string bench = {};
  std::string point = {};
  std::string words = {};
  std::string item = {};  // what a batch has `items` of
  double items = 0;
  double flop = 0;  // of a step: what the mathematics asks for, not what is computed twice; 0: none
  std::string limit = {};  // that layer::limit() is, beside the rate of our product; "": none
  /// The peer (torch_peer.hpp), called with folder, seconds of a round, threads and `sizes`: leaves
  /// its outputs in files pytorch_NAME, answers "gemm" and "step" as torch_layer.py says.
  std::string script = {};
  std::vector<std::string> sizes = {};
};

}  // namespace headrace::bench
