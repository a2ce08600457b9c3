// Following a kernel's pointers through the SPIR-V of the functions that it calls.
//
// A kernel is harmless if each pointer that it dereferences was made of its arguments, of variables
// of its own or of constants. So each instruction with a result that is or holds a pointer is one
// of a short list (parameters, address arithmetic, phi, select, casts between pointers), or counts
// as unknown: above all integers that become pointers, and loads of pointers. A load of a pointer
// from global memory that an argument leads to proves the opposite. Unoptimised code keeps its
// arguments in private memory, so loads from there are harmless unless such memory is also written
// in other ways (a copy of bytes, a cast of the place to one without pointers). Costs a pass over
// each function that is reached, once for each kernel. What it does not do: tell which branch runs.
#include "kernel_il.hpp"

#ifdef SLUICE_SPIRV_TOOLS

#include <algorithm>
#include <map>
#include <set>
#include <spirv/unified1/spirv.hpp11>
#include <string>
#include <utility>

#include "spirv_module.hpp"

namespace sluice::opencl {
namespace {

using spv::Op;
using spv::StorageClass;

Op op(const SpirvInstruction& instruction) noexcept { return static_cast<Op>(instruction.opcode); }

// One module, with indexes for frequent queries.
class Module {
 public:
  explicit Module(const SpirvModule& text) : text_(text) {
    const std::vector<SpirvInstruction>& all = text.all();
    for (std::size_t at = 0; at < all.size(); ++at) {
      const SpirvInstruction& one = all[at];
      if (op(one) == Op::OpEntryPoint) entries_.emplace(one.text(3), one.word(2));
      if (op(one) == Op::OpDecorate) note_linkage(one);
      if (op(one) == Op::OpFunction) functions_.emplace(one.result, at);
      if (op(one) == Op::OpSpecConstantOp && !is_harmless_constant(one)) has_odd_constant_ = true;
    }
  }

  // From OpFunction to OpFunctionEnd; empty if there is none of that id, or none with a body.
  [[nodiscard]] std::span<const SpirvInstruction> body_of(std::uint32_t function) const {
    const auto found = functions_.find(function);
    if (found == functions_.end()) return {};
    const auto rest = std::span(text_.all()).subspan(found->second);
    const auto end = std::find_if(rest.begin(), rest.end(),
                                  [](const auto& one) { return op(one) == Op::OpFunctionEnd; });
    const auto body = rest.first(static_cast<std::size_t>(end - rest.begin()));
    const bool has_code = std::any_of(body.begin(), body.end(),
                                      [](const auto& one) { return op(one) == Op::OpLabel; });
    return has_code ? body : std::span<const SpirvInstruction>{};
  }
  // Ids; 0: none.
  [[nodiscard]] std::uint32_t entry(std::string_view name) const { return find(entries_, name); }
  [[nodiscard]] std::uint32_t exported(std::string_view name) const { return find(exports_, name); }
  [[nodiscard]] std::string_view imported(std::uint32_t function) const {
    const auto found = imports_.find(function);
    return found == imports_.end() ? std::string_view{} : found->second;
  }
  [[nodiscard]] bool has_odd_constant() const noexcept { return has_odd_constant_; }

  [[nodiscard]] const SpirvInstruction* definition(std::uint32_t id) const noexcept {
    return text_.definition(id);
  }
  [[nodiscard]] std::uint32_t type_of(std::uint32_t id) const noexcept {
    const SpirvInstruction* const made_by = definition(id);
    return made_by == nullptr ? 0 : made_by->type;
  }
  // Null if the id is no pointer.
  [[nodiscard]] const SpirvInstruction* pointer_type(std::uint32_t id) const noexcept {
    const SpirvInstruction* const type = definition(type_of(id));
    return type != nullptr && op(*type) == Op::OpTypePointer ? type : nullptr;
  }
  // The storage class that a pointer points to; Generic, which promises nothing, if it is no
  // pointer.
  [[nodiscard]] StorageClass class_of(std::uint32_t pointer) const noexcept {
    const SpirvInstruction* const type = pointer_type(pointer);
    return type == nullptr ? StorageClass::Generic : static_cast<StorageClass>(type->word(2));
  }
  // True if values of a type are or hold pointers, or may.
  [[nodiscard]] bool is_bearing(std::uint32_t type) const { return is_bearing(type, 0); }

 private:
  static std::uint32_t find(const std::map<std::string_view, std::uint32_t>& names,
                            std::string_view name) {
    const auto found = names.find(name);
    return found == names.end() ? 0 : found->second;
  }
  void note_linkage(const SpirvInstruction& one) {
    if (one.word(2) != static_cast<std::uint32_t>(spv::Decoration::LinkageAttributes)) return;
    const std::string_view name = one.text(3);
    if (one.words.back() == static_cast<std::uint32_t>(spv::LinkageType::Import))
      imports_.emplace(one.word(1), name);
    else
      exports_.emplace(name, one.word(1));
  }
  // Made of pointers to variables by address arithmetic alone, or no pointer.
  [[nodiscard]] bool is_harmless_constant(const SpirvInstruction& one) const {
    if (!is_bearing(one.type)) return true;
    switch (static_cast<Op>(one.word(3))) {
      case Op::OpAccessChain:
      case Op::OpInBoundsAccessChain:
      case Op::OpPtrAccessChain:
      case Op::OpInBoundsPtrAccessChain:
      case Op::OpPtrCastToGeneric:
      case Op::OpGenericCastToPtr:
        return true;
      case Op::OpBitcast:
        return pointer_type(one.word(4)) != nullptr;
      default:
        return false;
    }
  }
  [[nodiscard]] bool is_bearing(std::uint32_t type, int depth) const {
    const SpirvInstruction* const made = definition(type);
    if (made == nullptr || depth > 64) return true;
    switch (op(*made)) {
      case Op::OpTypeVoid:
      case Op::OpTypeBool:
      case Op::OpTypeInt:
      case Op::OpTypeFloat:
      case Op::OpTypeImage:
      case Op::OpTypeSampler:
      case Op::OpTypeSampledImage:
      case Op::OpTypeEvent:
        return false;
      case Op::OpTypeVector:
      case Op::OpTypeMatrix:
      case Op::OpTypeArray:
      case Op::OpTypeRuntimeArray:
        return is_bearing(made->word(2), depth + 1);
      case Op::OpTypeStruct:
        return std::any_of(made->words.begin() + 2, made->words.end(),
                           [&](std::uint32_t member) { return is_bearing(member, depth + 1); });
      default:
        return true;
    }
  }

  const SpirvModule& text_;
  std::map<std::string_view, std::uint32_t> entries_;
  std::map<std::string_view, std::uint32_t> exports_;
  std::map<std::uint32_t, std::string_view> imports_;
  std::map<std::uint32_t, std::size_t> functions_;
  bool has_odd_constant_ = false;
};

// One kernel's functions, each looked at once.
class Walk {
 public:
  explicit Walk(const std::vector<Module>& modules) : modules_(modules) {}

  [[nodiscard]] Pointers from(std::string_view kernel) {
    for (const Module& module : modules_) {
      if (module.has_odd_constant()) note(Pointers::unknown);
      const std::uint32_t entry = module.entry(kernel);
      if (entry != 0 && seen_.empty()) start(module, entry);
    }
    if (seen_.empty()) note(Pointers::unknown);
    while (!next_.empty()) {
      const auto [module, function] = next_.back();
      next_.pop_back();
      look_at(*module, module->body_of(function));
    }
    // Only now all calls are known.
    for (const Value& pointer : loaded_from_)
      note(leads_to_variables(pointer) ? Pointers::unknown : Pointers::in_memory);
    if (loads_private_ && writes_private_otherwise_) note(Pointers::unknown);
    return found_;
  }

 private:
  using Value = std::pair<const Module*, std::uint32_t>;  // an id of a module

  void note(Pointers what) { found_ = std::max(found_, what); }

  void reach(const Module& module, std::uint32_t function) {
    if (seen_.emplace(&module, function).second) next_.emplace_back(&module, function);
  }

  // Records the values that a function's parameters and a call's result may have.
  void pass(const Module& module, const SpirvInstruction& call, const Module& other,
            std::uint32_t function) {
    std::size_t argument = 4;
    for (const SpirvInstruction& one : other.body_of(function)) {
      // A kernel's arguments are the program's as well.
      if (op(one) == Op::OpFunctionParameter && Value(&other, function) != kernel_)
        passed_[{&other, one.result}].emplace_back(&module, call.word(argument++));
      if (op(one) == Op::OpReturnValue)
        passed_[{&module, call.result}].emplace_back(&other, one.word(1));
    }
  }

  // Arguments by value hold the program's pointers, which mean nothing on the device.
  void start(const Module& module, std::uint32_t entry) {
    kernel_ = {&module, entry};
    reach(module, entry);
    for (const SpirvInstruction& one : module.body_of(entry)) {
      if (op(one) != Op::OpFunctionParameter || !module.is_bearing(one.type)) continue;
      const SpirvInstruction* const pointer = module.pointer_type(one.result);
      const bool by_value =
          pointer == nullptr || (module.class_of(one.result) == StorageClass::Function &&
                                 module.is_bearing(pointer->word(3)));
      if (by_value) note(Pointers::unknown);
    }
  }

  void call(const Module& module, const SpirvInstruction& one) {
    const std::uint32_t function = one.word(3);
    if (!module.body_of(function).empty()) {
      pass(module, one, module, function);
      return reach(module, function);
    }
    const std::string_view name = module.imported(function);
    for (const Module& other : modules_) {
      const std::uint32_t there = name.empty() ? 0 : other.exported(name);
      if (there == 0 || other.body_of(there).empty()) continue;
      pass(module, one, other, there);
      return reach(other, there);
    }
    note(Pointers::unknown);
  }

  void look_at(const Module& module, std::span<const SpirvInstruction> body) {
    if (body.empty()) note(Pointers::unknown);
    body_ = body;
    for (const SpirvInstruction& one : body) look_at(module, one);
  }

  void look_at(const Module& module, const SpirvInstruction& one) {
    switch (op(one)) {
      case Op::OpFunctionCall:
        return call(module, one);
      case Op::OpStore:
        // A pointer that is stored in memory may be followed by others.
        if (module.is_bearing(module.type_of(one.word(2))) &&
            module.class_of(one.word(1)) != StorageClass::Function)
          note(Pointers::unknown);
        return;
      case Op::OpCopyMemory:
      case Op::OpCopyMemorySized:
        return note_write(module.class_of(one.word(1)));
      case Op::OpEnqueueKernel:
      case Op::OpReadPipe:
      case Op::OpReservedReadPipe:
      case Op::OpFunctionPointerCallINTEL:
      case Op::OpAsmCallINTEL:
        return note(Pointers::unknown);
      default:
        if (one.result != 0 && one.type != 0 && module.is_bearing(one.type))
          look_at_pointer(module, one);
    }
  }

  void look_at_pointer(const Module& module, const SpirvInstruction& one) {
    switch (op(one)) {
      case Op::OpFunction:
      case Op::OpFunctionParameter:
      case Op::OpVariable:
      case Op::OpAccessChain:
      case Op::OpInBoundsAccessChain:
      case Op::OpPtrAccessChain:
      case Op::OpInBoundsPtrAccessChain:
      case Op::OpPhi:
      case Op::OpSelect:
      case Op::OpCopyObject:
      case Op::OpUndef:
      case Op::OpPtrCastToGeneric:
      case Op::OpGenericCastToPtr:
      case Op::OpGenericCastToPtrExplicit:
      case Op::OpCompositeExtract:
      case Op::OpCompositeInsert:
      case Op::OpCompositeConstruct:
      case Op::OpImageTexelPointer:
        return;
      case Op::OpLoad:
        return look_at_load(module, one.word(3));
      case Op::OpBitcast:
        return look_at_cast(module, one);
      default:
        return note(Pointers::unknown);
    }
  }

  void look_at_load(const Module& module, std::uint32_t pointer) {
    const StorageClass where = module.class_of(pointer);
    const bool in_arguments_memory =
        where == StorageClass::CrossWorkgroup || where == StorageClass::UniformConstant;
    if (where == StorageClass::Function)
      loads_private_ = true;
    else if (in_arguments_memory)
      loaded_from_.emplace_back(&module, pointer);
    else
      note(Pointers::unknown);
  }

  // Memory that is cast to another type may get invalid pointers.
  void look_at_cast(const Module& module, const SpirvInstruction& cast) {
    const SpirvInstruction* const from = module.pointer_type(cast.word(3));
    const SpirvInstruction* const to = module.pointer_type(cast.result);
    if (from == nullptr || to == nullptr) return note(Pointers::unknown);
    if (module.is_bearing(from->word(3)) != module.is_bearing(to->word(3)) &&
        !is_for_lifetime(cast.result))
      note_write(module.class_of(cast.result));
  }

  // Compilers make such a cast to say where a variable begins and ends. A literal of the same value
  // counts as a use.
  [[nodiscard]] bool is_for_lifetime(std::uint32_t id) const {
    return std::none_of(body_.begin(), body_.end(), [id](const SpirvInstruction& one) {
      if (one.result == id || op(one) == Op::OpLifetimeStart || op(one) == Op::OpLifetimeStop)
        return false;
      return std::find(one.words.begin() + 1, one.words.end(), id) != one.words.end();
    });
  }

  // Private memory is written as bytes, or may be from here on.
  void note_write(StorageClass where) {
    if (where == StorageClass::Function || where == StorageClass::Generic)
      writes_private_otherwise_ = true;
  }

  // Every value that it may have is made of variables of the modules, by address arithmetic, casts,
  // choices and calls: then no argument leads there.
  [[nodiscard]] bool leads_to_variables(const Value& pointer) const {
    std::set<Value> seen{pointer};
    std::vector<Value> next{pointer};
    while (!next.empty()) {
      std::vector<Value> sources;
      const Value value = next.back();
      next.pop_back();
      if (!find_sources(value, sources)) return false;
      for (const Value& source : sources)
        if (seen.insert(source).second) next.push_back(source);
    }
    return true;
  }

  // The values that one is made of; false if that is not known, as for an argument of the kernel.
  bool find_sources(const Value& value, std::vector<Value>& sources) const {
    const auto& [module, id] = value;
    const SpirvInstruction* const made_by = module->definition(id);
    if (made_by == nullptr) return false;
    const auto add = [&](std::size_t word) { sources.emplace_back(module, made_by->word(word)); };
    switch (op(*made_by)) {
      case Op::OpVariable:
      case Op::OpConstantNull:
        return true;
      case Op::OpSpecConstantOp:
        add(4);
        return true;
      case Op::OpAccessChain:
      case Op::OpInBoundsAccessChain:
      case Op::OpPtrAccessChain:
      case Op::OpInBoundsPtrAccessChain:
      case Op::OpBitcast:
      case Op::OpCopyObject:
      case Op::OpGenericCastToPtr:
        add(3);
        return true;
      case Op::OpSelect:
        add(4);
        add(5);
        return true;
      case Op::OpPhi:
        for (std::size_t word = 3; word < made_by->words.size(); word += 2) add(word);
        return true;
      case Op::OpFunctionParameter:
      case Op::OpFunctionCall: {
        const auto found = passed_.find(value);
        if (found == passed_.end()) return false;
        sources = found->second;
        return true;
      }
      default:
        return false;
    }
  }

  const std::vector<Module>& modules_;
  Value kernel_{nullptr, 0};
  std::set<Value> seen_;     // functions
  std::vector<Value> next_;  // functions
  std::map<Value, std::vector<Value>> passed_;
  std::vector<Value> loaded_from_;          // places of pointers in memory that is not private
  std::span<const SpirvInstruction> body_;  // that is looked at
  Pointers found_ = Pointers::from_arguments;
  bool loads_private_ = false;             // pointers
  bool writes_private_otherwise_ = false;  // than by storing pointers as such
};

}  // namespace

bool reads_il() noexcept { return true; }

Pointers pointers_of_il(const std::vector<std::span<const std::byte>>& modules,
                        std::string_view kernel) {
  std::vector<std::unique_ptr<SpirvModule>> texts;
  std::vector<Module> read;
  for (const std::span<const std::byte> bytes : modules) {
    texts.push_back(SpirvModule::read(bytes));
    if (texts.back() == nullptr) return Pointers::unknown;
    read.emplace_back(*texts.back());
  }
  return Walk(read).from(kernel);
}

}  // namespace sluice::opencl

#else

namespace sluice::opencl {

bool reads_il() noexcept { return false; }

Pointers pointers_of_il(const std::vector<std::span<const std::byte>>& /*modules*/,
                        std::string_view /*kernel*/) {
  return Pointers::unknown;
}

}  // namespace sluice::opencl

#endif
