// A module may have no type twice, so its own are looked for first, once for each.
#include "spirv_writer.hpp"

#ifdef SLUICE_SPIRV_TOOLS

namespace sluice::opencl {

void write_spirv(SpirvWords& to, spv::Op op, std::span<const std::uint32_t> operands) {
  to.push_back(static_cast<std::uint32_t>(operands.size() + 1) << 16 |
               static_cast<std::uint32_t>(op));
  to.insert(to.end(), operands.begin(), operands.end());
}

std::uint32_t SpirvDefinitions::define(spv::Op op, const SpirvWords& operands,
                                       std::size_t at_result) {
  const auto [known, is_new] = known_.try_emplace({op, operands}, 0);
  if (!is_new) return known->second;
  const auto place = static_cast<std::ptrdiff_t>(at_result);
  for (const SpirvInstruction& one : module_.all()) {
    if (static_cast<spv::Op>(one.opcode) == spv::Op::OpFunction) break;
    if (static_cast<spv::Op>(one.opcode) != op) continue;
    SpirvWords same(one.words.begin() + 1, one.words.end());
    if (at_result < same.size()) same.erase(same.begin() + place);
    if (same == operands) return known->second = one.result;
  }
  known->second = new_id();
  SpirvWords all = operands;
  all.insert(all.begin() + place, known->second);
  write_spirv(words_, op, all);
  return known->second;
}

std::uint32_t SpirvDefinitions::buffer() {
  const auto where = static_cast<std::uint32_t>(spv::StorageClass::CrossWorkgroup);
  return define(spv::Op::OpTypePointer, {where, integer()}, 0);
}

}  // namespace sluice::opencl

#endif
