// Writing SPIR-V: instructions, and the types and constants that a module lacks.
#pragma once

#ifdef SLUICE_SPIRV_TOOLS

#include <cstdint>
#include <map>
#include <span>
#include <spirv/unified1/spirv.hpp11>
#include <utility>
#include <vector>

#include "spirv_module.hpp"

namespace sluice::opencl {

using SpirvWords = std::vector<std::uint32_t>;

void write_spirv(SpirvWords& to, spv::Op op, std::span<const std::uint32_t> operands);
inline void write_spirv(SpirvWords& to, spv::Op op, std::initializer_list<std::uint32_t> operands) {
  write_spirv(to, op, std::span(operands.begin(), operands.size()));
}

class SpirvDefinitions {
 public:
  explicit SpirvDefinitions(const SpirvModule& module) noexcept
      : module_(module), next_id_(module.id_bound()) {}

  [[nodiscard]] std::uint32_t new_id() noexcept { return next_id_++; }
  [[nodiscard]] std::uint32_t id_bound() const noexcept { return next_id_; }
  // Those that the module lacked, to be put behind its own.
  [[nodiscard]] const SpirvWords& words() const noexcept { return words_; }

  // The id of a type or constant. `operands`: without the result, whose place among them is
  // `at_result`.
  [[nodiscard]] std::uint32_t define(spv::Op op, const SpirvWords& operands, std::size_t at_result);
  [[nodiscard]] std::uint32_t integer() { return define(spv::Op::OpTypeInt, {64, 0}, 0); }
  [[nodiscard]] std::uint32_t truth() { return define(spv::Op::OpTypeBool, {}, 0); }
  [[nodiscard]] std::uint32_t zero() { return define(spv::Op::OpConstant, {integer(), 0, 0}, 1); }
  // A pointer to global memory.
  [[nodiscard]] std::uint32_t buffer();

 private:
  const SpirvModule& module_;
  std::uint32_t next_id_;
  std::map<std::pair<spv::Op, SpirvWords>, std::uint32_t> known_;
  SpirvWords words_;
};

}  // namespace sluice::opencl

#endif
