#pragma once

#include "schemas/event.hpp"
#include "serve/json_members.hpp"
#include "serve/served_model.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::serve {

/// Tensors of Open Inference V2 as columns of events: row i of each is event i, those of one row
/// beside others of many are what all have in common. Single-threaded; fails as json_members.hpp
/// says.
class tensor_columns {
 public:
  /// `model` outlives it; at most `rows_max` rows.
  tensor_columns(const served_model& model, std::size_t rows_max)
      : model_(model), rows_max_(rows_max) {}

  /// Begins a request; the memory of many tensors is let go of.
  void begin();
  /// Reads the next tensor. Its items lie in the text, or in what the parser unescaped.
  result<void> read(ondemand::value& from);
  /// Adds all as events; whether event 0 is what the others have in common.
  result<bool> write(schemas::event_batch_builder& into) const;

 private:
  struct tensor {
    struct item {
      std::string_view text;  // of a text, or the token
      json_type type{};
      double number = 0.0;  // that is not whole
    };
    std::string name;
    std::string datatype;
    std::vector<std::uint64_t> shape;
    std::vector<item> items;
    std::size_t rows = 0;
    std::size_t each = 1;  // items of a row
    bool is_list = false;
  };
  enum class element : std::uint8_t { text, whole, number, truth, none };
  static element element_of(std::string_view datatype);
  static bool fits(element kind, const tensor::item& item);
  static result<void> shape_of(ondemand::value& from, const std::string& where, tensor& into);
  static result<void> data_of(ondemand::value& from,
                              const std::string& where,
                              tensor& into,
                              bool nested);
  static result<void> members_of(ondemand::value& from, const std::string& where, tensor& into);
  result<void> check(tensor& of, const std::string& where) const;
  static void write_row(const tensor& of, std::size_t row, schemas::event_batch_builder& into);

  const served_model& model_;
  std::size_t rows_max_;
  std::vector<tensor> tensors_;
};

}  // namespace headrace::serve
