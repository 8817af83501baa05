#pragma once

#include "base/config.hpp"
#include "base/result.hpp"
#include "worker/model/layer.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// A feature of the job, as a model sees it.
struct model_feature {
  std::string name;
  bool number = false;         // its value is a number; else an id, and its value 1
  std::uint32_t list_max = 0;  // ids of a list at most; 0: it is no list

  bool list() const { return list_max > 0; }
};

/// A layer's section of a model file, with what is known about its inputs.
struct layer_section {
  config_reader& config;
  std::string name;
  std::span<const value_shape> inputs;
  std::span<const model_feature> features;
  std::span<const std::string> labels;  // of the job; empty = not known here

  std::string key(std::string_view attribute) const {
    return "layers." + name + "." + std::string(attribute);
  }
  /// The table of a parameter: the attribute `<parameter>_table`, or `<layer>_<parameter>`.
  std::string table(std::string_view parameter) const {
    return config.text(key(std::string(parameter) + "_table"), name + "_" + std::string(parameter));
  }
};

/// Reads a layer's attributes. A value out of range is remembered by the reader; inputs that do not
/// fit are an error that says what would.
using make_layer = result<std::unique_ptr<layer>> (*)(const layer_section&);

/// An operator by the name that model files give it.
struct op_entry {
  std::string_view name;
  make_layer make;
};

/// All operators, by name. A new one: its file in worker/model/ops/, a line in ops.hpp and here.
std::span<const op_entry> all_ops();
/// Null when there is none of that name.
const op_entry* find_op(std::string_view name);

}  // namespace headrace::worker
