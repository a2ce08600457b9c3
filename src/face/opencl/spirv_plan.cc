// One pass over a module, before it is written again.
#include "spirv_plan.hpp"

#ifdef SLUICE_SPIRV_TOOLS

#include <algorithm>

namespace sluice::opencl {
namespace {

using spv::Op;
using spv::StorageClass;

Op op(const SpirvInstruction& instruction) noexcept { return static_cast<Op>(instruction.opcode); }
template <typename Enumerator>
bool is(std::uint32_t word, Enumerator enumerator) noexcept {
  return word == static_cast<std::uint32_t>(enumerator);
}
bool is_linkage(const SpirvInstruction& one) noexcept {
  return op(one) == Op::OpDecorate && is(one.word(2), spv::Decoration::LinkageAttributes);
}

// The body of a kernel knows its value by the parameter's id from now on.
void note_parameter(SpirvRebasePlan& plan, const SpirvModule& module, std::uint32_t function,
                    const SpirvInstruction& one, SpirvDefinitions& added) {
  const auto found = plan.entries.find(function);
  if (found == plan.entries.end()) return;
  RebasedKernel& kernel = found->second.kernel;
  if (is_pointer_to(module, one.result, StorageClass::CrossWorkgroup)) {
    kernel.moved.push_back(kernel.parameters);
    found->second.given[one.result] = plan.renamed[one.result] = added.new_id();
  } else if (is_pointer_to(module, one.result, StorageClass::Generic)) {
    plan.refusal = "a kernel has a generic pointer as an argument";
  }
  ++kernel.parameters;
}

void note_decoration(SpirvRebasePlan& plan, const SpirvInstruction& one,
                     const SpirvNames& exported) {
  if (is(one.word(2), spv::Decoration::SpecId)) plan.refusal = "it has specialization constants";
  if (is_linkage(one) && is(one.words.back(), spv::LinkageType::Import) &&
      exported.contains(one.text(3)))
    plan.rebased.insert(one.word(1));
}

}  // namespace

const SpirvInstruction* pointer_type(const SpirvModule& module, std::uint32_t id) noexcept {
  const SpirvInstruction* const made_by = module.definition(id);
  const SpirvInstruction* const type =
      made_by == nullptr ? nullptr : module.definition(made_by->type);
  return type != nullptr && op(*type) == Op::OpTypePointer ? type : nullptr;
}

bool is_pointer_to(const SpirvModule& module, std::uint32_t id, StorageClass where) noexcept {
  const SpirvInstruction* const type = pointer_type(module, id);
  return type != nullptr && is(type->word(2), where);
}

void note_exports(const SpirvModule& module, SpirvNames& names) {
  std::set<std::uint32_t> with_body;
  std::uint32_t current = 0;
  for (const SpirvInstruction& one : module.all()) {
    if (op(one) == Op::OpFunction) current = one.result;
    if (op(one) == Op::OpLabel) with_body.insert(current);
  }
  for (const SpirvInstruction& one : module.all())
    if (is_linkage(one) && with_body.contains(one.word(1))) names.emplace(one.text(3));
}

// LLVM makes of a kernel a function and an entry point that calls it, and takes two functions of
// one name for one, with the parameters of either.
bool SpirvRebasePlan::names_like_kernel(const SpirvInstruction& one) const {
  if (!is_linkage(one) && op(one) != Op::OpName) return false;
  const std::string_view name = one.text(is_linkage(one) ? 3 : 2);
  return !entries.contains(one.word(1)) &&
         std::any_of(entries.begin(), entries.end(),
                     [&](const auto& entry) { return entry.second.kernel.name == name; });
}

SpirvRebasePlan plan_rebasing(const SpirvModule& module, const SpirvNames& exported,
                              SpirvDefinitions& added) {
  SpirvRebasePlan plan;
  std::uint32_t function = 0;
  for (const SpirvInstruction& one : module.all()) {
    switch (op(one)) {
      case Op::OpCapability:
        plan.has_int64 = plan.has_int64 || is(one.word(1), spv::Capability::Int64);
        break;
      case Op::OpMemoryModel:
        if (!is(one.word(1), spv::AddressingModel::Physical64))
          plan.refusal = "its pointers do not have 64 bits";
        break;
      case Op::OpExtInstImport:
        if (one.text(2) == "OpenCL.std") plan.opencl_set = one.result;
        break;
      case Op::OpEntryPoint:
        plan.entries[one.word(2)].kernel.name = one.text(3);
        break;
      case Op::OpDecorate:
        note_decoration(plan, one, exported);
        break;
      case Op::OpFunction:
        function = one.result;
        break;
      case Op::OpFunctionParameter:
        note_parameter(plan, module, function, one, added);
        break;
      case Op::OpLabel:
        plan.rebased.insert(function);
        break;
      case Op::OpFunctionCall:
        if (plan.entries.contains(one.word(3))) plan.refusal = "a kernel calls another";
        break;
      default:
        break;
    }
  }
  return plan;
}

}  // namespace sluice::opencl

#endif
