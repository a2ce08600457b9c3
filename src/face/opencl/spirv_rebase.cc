// Rebasing: each access is moved to the device's place, and no pointer is ever changed.
//
// In a rebased kernel a pointer to managed memory is the host's wherever it is: in arguments, in
// memory, in structures, as an integer. Only an instruction that accesses memory adds the distance
// from the host's place to the device's, if the pointer lies in the host's. So it does not matter
// where a pointer comes from or how it was made, and pointers that a kernel stores are the host's
// too. All other pointers (variables, local and private memory, other buffers) stay as they are. An
// instruction with a pointer to global memory that is not known here makes the module unsupported.
// Costs a comparison and an addition for each access. What it does not do: tell the host's places
// from a device's own addresses that happen to be the same numbers; pointers to constant memory
// that are found in memory.
#include "spirv_rebase.hpp"

#ifdef SLUICE_SPIRV_TOOLS

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <spirv/unified1/spirv.hpp11>

#include "spirv_access.hpp"
#include "spirv_module.hpp"
#include "spirv_plan.hpp"
#include "spirv_writer.hpp"

namespace sluice::opencl {
namespace {

using spv::Op;
using spv::StorageClass;
using Words = SpirvWords;

constexpr std::uint32_t magic = 0x07230203;
constexpr std::uint32_t printf_of_opencl = 184;  // in the set OpenCL.std

Op op(const SpirvInstruction& instruction) noexcept { return static_cast<Op>(instruction.opcode); }
template <typename Enumerator>
bool is(std::uint32_t word, Enumerator enumerator) noexcept {
  return word == static_cast<std::uint32_t>(enumerator);
}

Error unsupported(const char* why) { return {ErrorCode::unsupported, "%s", why}; }

// --- one module ----------------------------------------------------------------------------------

class ModuleWriter {
 public:
  ModuleWriter(const SpirvModule& module, const SpirvNames& exported)
      : module_(module), added_(module), plan_(plan_rebasing(module, exported, added_)) {}

  [[nodiscard]] Result<Words> run(std::vector<RebasedKernel>& kernels) {
    if (plan_.refusal != nullptr) return tl::unexpected(unsupported(plan_.refusal));
    for (const SpirvInstruction& one : module_.all()) {
      if (in_functions_ || op(one) == Op::OpFunction)
        in_function(one);
      else
        before_functions(one);
      if (plan_.refusal != nullptr) return tl::unexpected(unsupported(plan_.refusal));
    }
    for (auto& [id, entry] : plan_.entries) kernels.push_back(std::move(entry.kernel));
    Words all{magic, module_.version(), 0, added_.id_bound(), 0};
    if (!plan_.has_int64)
      write_spirv(all, Op::OpCapability, {static_cast<std::uint32_t>(spv::Capability::Int64)});
    for (const Words* part : {static_cast<const Words*>(&head_), &added_.words(),
                              static_cast<const Words*>(&functions_)})
      all.insert(all.end(), part->begin(), part->end());
    return all;
  }

 private:
  // The values that all functions have, in the function that is written.
  struct Place {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
    std::uint32_t distance = 0;
  };

  void refuse(const char* why) noexcept { plan_.refusal = why; }
  std::uint32_t new_id() noexcept { return added_.new_id(); }
  static void copy(Words& to, const SpirvInstruction& one) {
    to.insert(to.end(), one.words.begin(), one.words.end());
  }

  [[nodiscard]] bool may_lead_to_buffer(std::uint32_t id) const noexcept {
    return is_pointer_to(module_, id, StorageClass::CrossWorkgroup) ||
           is_pointer_to(module_, id, StorageClass::Generic);
  }
  // --- before the functions ---

  void before_functions(const SpirvInstruction& one) {
    if (plan_.names_like_kernel(one)) {
      if (op(one) == Op::OpDecorate && is(one.words.back(), spv::LinkageType::Import))
        refuse("it calls a kernel");
      return;
    }
    const std::size_t at = head_.size();
    switch (op(one)) {
      case Op::OpDecorate:
        // A parameter that is null now cannot be promised to point to bytes.
        if (plan_.renamed.contains(one.word(1)) && is(one.word(2), spv::Decoration::MaxByteOffset))
          return;
        [[fallthrough]];
      case Op::OpName:
      case Op::OpDecorateId:
        copy(head_, one);
        if (const auto found = plan_.renamed.find(one.word(1)); found != plan_.renamed.end())
          head_[at + 1] = found->second;
        return;
      case Op::OpGroupDecorate:
        copy(head_, one);
        for (std::size_t i = at + 2; i < head_.size(); ++i)
          if (const auto found = plan_.renamed.find(head_[i]); found != plan_.renamed.end())
            head_[i] = found->second;
        return;
      case Op::OpString:
        // LLVM's names of a kernel's own types, which are fewer now.
        if (one.text(2).starts_with("kernel_arg_")) return;
        return copy(head_, one);
      case Op::OpConstantFunctionPointerINTEL:
        return refuse("it has pointers to functions");
      default:
        return copy(head_, one);
    }
  }

  // --- functions ---

  void in_function(const SpirvInstruction& one) {
    in_functions_ = true;
    if (needs_parameters_ && op(one) != Op::OpFunctionParameter) add_parameters();
    if (needs_values_ && op(one) != Op::OpLabel && op(one) != Op::OpVariable &&
        op(one) != Op::OpLine && op(one) != Op::OpNoLine)
      add_values();
    switch (op(one)) {
      case Op::OpFunction:
        return begin_function(one);
      case Op::OpFunctionParameter: {
        const auto found = plan_.renamed.find(one.result);
        const std::uint32_t id = found == plan_.renamed.end() ? one.result : found->second;
        return write_spirv(functions_, Op::OpFunctionParameter, {one.type, id});
      }
      case Op::OpLabel:
        moved_.clear();
        needs_values_ = needs_values_ || begins_entry_;
        begins_entry_ = false;
        return copy(functions_, one);
      default:
        return in_body(one);
    }
  }

  void begin_function(const SpirvInstruction& one) {
    function_ = one.result;
    place_ = {};
    needs_parameters_ = plan_.rebased.contains(function_);
    begins_entry_ = plan_.entries.contains(function_);
    if (!needs_parameters_) return copy(functions_, one);
    const SpirvInstruction* const type = module_.definition(one.word(4));
    Words operands(type->words.begin() + 2, type->words.end());
    const auto entry = plan_.entries.find(function_);
    if (entry != plan_.entries.end()) operands.push_back(added_.buffer());
    operands.resize(operands.size() + parameters_of(entry), added_.integer());
    write_spirv(
        functions_, Op::OpFunction,
        {one.type, one.result, one.word(3), added_.define(Op::OpTypeFunction, operands, 0)});
  }
  [[nodiscard]] std::size_t parameters_of(
      std::map<std::uint32_t, SpirvRebasePlan::Entry>::const_iterator entry) const {
    return entry == plan_.entries.end() ? 3 : 2 + entry->second.kernel.moved.size();
  }

  std::uint32_t add_parameter(std::uint32_t type) {
    const std::uint32_t id = new_id();
    write_spirv(functions_, Op::OpFunctionParameter, {type, id});
    return id;
  }
  void add_parameters() {
    needs_parameters_ = false;
    const auto entry = plan_.entries.find(function_);
    if (entry != plan_.entries.end()) buffer_ = add_parameter(added_.buffer());
    place_.begin = add_parameter(added_.integer());
    place_.size = add_parameter(added_.integer());
    if (entry == plan_.entries.end()) {
      place_.distance = add_parameter(added_.integer());
      return;
    }
    pointers_.clear();
    for (const auto& one : entry->second.kernel.moved) {
      (void)one;
      pointers_.push_back(add_parameter(added_.integer()));
    }
  }

  std::uint32_t compute(Op opcode, std::uint32_t type, std::initializer_list<std::uint32_t> of) {
    const std::uint32_t id = new_id();
    Words operands{type, id};
    operands.insert(operands.end(), of);
    write_spirv(functions_, opcode, operands);
    return id;
  }
  // A kernel's first instructions: the distance, and its pointers.
  void add_values() {
    needs_values_ = false;
    const std::uint32_t there = compute(Op::OpConvertPtrToU, added_.integer(), {buffer_});
    place_.distance = compute(Op::OpISub, added_.integer(), {there, place_.begin});
    // In the order of their ids, which is that of the parameters: not of the map.
    std::size_t number = 0;
    for (const SpirvInstruction& one : module_.all()) {
      const SpirvRebasePlan::Entry& entry = plan_.entries[function_];
      const auto found = entry.given.find(one.result);
      if (op(one) != Op::OpFunctionParameter || found == entry.given.end()) continue;
      const std::uint32_t given = pointers_[number++];
      const std::uint32_t own = compute(Op::OpConvertPtrToU, added_.integer(), {found->second});
      const std::uint32_t is_given =
          compute(Op::OpINotEqual, added_.truth(), {given, added_.zero()});
      const std::uint32_t value = compute(Op::OpSelect, added_.integer(), {is_given, given, own});
      write_spirv(functions_, Op::OpConvertUToPtr, {one.type, one.result, value});
    }
  }

  // A pointer to where the device has the byte.
  std::uint32_t moved(std::uint32_t pointer) {
    const SpirvInstruction* const made_by = module_.definition(pointer);
    if (op(*made_by) == Op::OpVariable) return pointer;
    if (const auto known = moved_.find(pointer); known != moved_.end()) return known->second;
    const std::uint32_t number = compute(Op::OpConvertPtrToU, added_.integer(), {pointer});
    const std::uint32_t offset = compute(Op::OpISub, added_.integer(), {number, place_.begin});
    const std::uint32_t inside = compute(Op::OpULessThan, added_.truth(), {offset, place_.size});
    const std::uint32_t by =
        compute(Op::OpSelect, added_.integer(), {inside, place_.distance, added_.zero()});
    const std::uint32_t there = compute(Op::OpIAdd, added_.integer(), {number, by});
    return moved_[pointer] = compute(Op::OpConvertUToPtr, made_by->type, {there});
  }
  void with_moved(const SpirvInstruction& one, std::span<const std::size_t> places) {
    Words words(one.words.begin(), one.words.end());
    for (const std::size_t at : places)
      if (at < words.size() && may_lead_to_buffer(words[at])) words[at] = moved(words[at]);
    functions_.insert(functions_.end(), words.begin(), words.end());
  }
  void with_all_moved(const SpirvInstruction& one, std::size_t from) {
    Words words(one.words.begin(), one.words.end());
    for (std::size_t at = from; at < words.size(); ++at)
      if (may_lead_to_buffer(words[at])) words[at] = moved(words[at]);
    functions_.insert(functions_.end(), words.begin(), words.end());
  }

  void call(const SpirvInstruction& one) {
    if (!plan_.rebased.contains(one.word(3))) {
      if (may_lead_to_buffer(one.result))
        return refuse("a function that it lacks returns a pointer");
      return with_all_moved(one, 4);
    }
    Words operands(one.words.begin() + 1, one.words.end());
    for (const std::uint32_t value : {place_.begin, place_.size, place_.distance})
      operands.push_back(value);
    write_spirv(functions_, Op::OpFunctionCall, operands);
  }

  void in_body(const SpirvInstruction& one) {
    if (is_pointer_to(module_, one.result, StorageClass::UniformConstant) &&
        !is_known_constant(one))
      return refuse("it makes pointers to constant memory");
    if (op(one) == Op::OpFunctionCall) return call(one);
    const SpirvAccess access = access_of(one);
    if (access.is_known) return with_moved(one, access.words);
    if (op(one) == Op::OpExtInst) {
      // printf shows pointers as the host has them.
      const bool is_access = one.word(3) == plan_.opencl_set && one.word(4) != printf_of_opencl;
      return is_access ? with_all_moved(one, 5) : copy(functions_, one);
    }
    if (names_pointer(one)) return refuse("it does with a pointer what cannot be rebased");
    copy(functions_, one);
  }

  [[nodiscard]] bool names_pointer(const SpirvInstruction& one) const {
    return std::any_of(one.words.begin() + 1, one.words.end(),
                       [&](std::uint32_t word) { return may_lead_to_buffer(word); });
  }
  // Made of variables and arguments, or loaded from private memory.
  [[nodiscard]] bool is_known_constant(const SpirvInstruction& one) const {
    switch (op(one)) {
      case Op::OpConvertUToPtr:
      case Op::OpFunctionCall:
        return false;
      case Op::OpLoad:
        return is_pointer_to(module_, one.word(3), StorageClass::Function);
      case Op::OpBitcast:
        return pointer_type(module_, one.word(3)) != nullptr;
      default:
        return true;
    }
  }

  const SpirvModule& module_;
  SpirvDefinitions added_;
  SpirvRebasePlan plan_;
  Words head_;
  Words functions_;
  bool in_functions_ = false;
  // Of the function that is written.
  std::uint32_t function_ = 0;
  bool needs_parameters_ = false;
  bool begins_entry_ = false;
  bool needs_values_ = false;
  Place place_;
  std::uint32_t buffer_ = 0;
  Words pointers_;                                // the integers
  std::map<std::uint32_t, std::uint32_t> moved_;  // in this block
};

Result<std::vector<std::unique_ptr<SpirvModule>>> read_all(
    const std::vector<std::span<const std::byte>>& modules) {
  std::vector<std::unique_ptr<SpirvModule>> read;
  for (const std::span<const std::byte> bytes : modules) {
    read.push_back(SpirvModule::read(bytes));
    if (read.back() == nullptr) return tl::unexpected(unsupported("it cannot be read"));
  }
  return read;
}

}  // namespace

Result<RebasedModules> rebase(const std::vector<std::span<const std::byte>>& modules) {
  SLUICE_ASSIGN(read, read_all(modules));
  SpirvNames exported;
  for (const auto& module : read) note_exports(*module, exported);
  RebasedModules rebased;
  for (const auto& module : read) {
    SLUICE_ASSIGN(words, ModuleWriter(*module, exported).run(rebased.kernels));
    rebased.modules.push_back(std::move(words));
  }
  return rebased;
}

bool have_shared_variables(const std::vector<std::span<const std::byte>>& modules) {
  const auto read = read_all(modules);
  if (!read) return false;
  for (const auto& module : *read)
    for (const SpirvInstruction& one : module->all())
      if (op(one) == Op::OpVariable && is(one.word(3), StorageClass::CrossWorkgroup)) return true;
  return false;
}

std::vector<std::string> kernels_of(const std::vector<std::span<const std::byte>>& modules) {
  std::vector<std::string> names;
  const auto read = read_all(modules);
  if (!read) return names;
  for (const auto& module : *read)
    for (const SpirvInstruction& one : module->all())
      if (op(one) == Op::OpEntryPoint) names.emplace_back(one.text(3));
  return names;
}

}  // namespace sluice::opencl

#else

namespace sluice::opencl {

Result<RebasedModules> rebase(const std::vector<std::span<const std::byte>>& /*modules*/) {
  return fail(ErrorCode::unsupported, "the layer was built without SPIRV-Tools");
}
bool have_shared_variables(const std::vector<std::span<const std::byte>>& /*modules*/) {
  return false;
}
std::vector<std::string> kernels_of(const std::vector<std::span<const std::byte>>& /*modules*/) {
  return {};
}

}  // namespace sluice::opencl

#endif
