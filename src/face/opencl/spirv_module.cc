// Reading a module with the binary parser of SPIRV-Tools, which checks each instruction against
// SPIR-V's grammar.
//
// The parser is linked into the layer where the build has it, and hidden there: a program may have
// another version of its own. Costs one pass and a copy of the module. What it does not do:
// validate a module (a driver does), or read anything where the build has no parser.
#include "spirv_module.hpp"

#include <cstring>

#ifdef SLUICE_SPIRV_TOOLS
#include <spirv-tools/libspirv.h>
#endif

namespace sluice::opencl {

std::string_view SpirvInstruction::text(std::size_t index) const noexcept {
  if (index >= words.size()) return {};
  const auto* const begin = reinterpret_cast<const char*>(words.data() + index);
  const std::size_t most = (words.size() - index) * sizeof(std::uint32_t);
  const std::size_t length = ::strnlen(begin, most);
  return length == most ? std::string_view{} : std::string_view(begin, length);
}

const SpirvInstruction* SpirvModule::definition(std::uint32_t id) const noexcept {
  const auto found = definitions_.find(id);
  return found == definitions_.end() ? nullptr : &all_[found->second];
}

// The words of all instructions together are those of the module, so that no copy is ever moved.
void SpirvModule::add(SpirvInstruction instruction) {
  const std::size_t begin = words_.size();
  words_.insert(words_.end(), instruction.words.begin(), instruction.words.end());
  instruction.words = std::span(words_).subspan(begin);
  if (instruction.result != 0) definitions_.emplace(instruction.result, all_.size());
  all_.push_back(instruction);
}

#ifdef SLUICE_SPIRV_TOOLS
std::unique_ptr<SpirvModule> SpirvModule::read(std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(std::uint32_t) != 0) return nullptr;
  std::vector<std::uint32_t> words(bytes.size() / sizeof(std::uint32_t));
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
  std::unique_ptr<SpirvModule> module(new SpirvModule);
  module->words_.reserve(words.size());
  const auto take = [](void* to, const spv_parsed_instruction_t* parsed) {
    static_cast<SpirvModule*>(to)->add(
        {parsed->opcode, parsed->type_id, parsed->result_id, {parsed->words, parsed->num_words}});
    return SPV_SUCCESS;
  };
  const auto take_header = [](void* to, spv_endianness_t, std::uint32_t, std::uint32_t version,
                              std::uint32_t, std::uint32_t id_bound, std::uint32_t) {
    static_cast<SpirvModule*>(to)->version_ = version;
    static_cast<SpirvModule*>(to)->id_bound_ = id_bound;
    return SPV_SUCCESS;
  };
  const spv_context context = spvContextCreate(SPV_ENV_UNIVERSAL_1_6);
  spv_diagnostic diagnostic = nullptr;
  const spv_result_t status = spvBinaryParse(context, module.get(), words.data(), words.size(),
                                             take_header, take, &diagnostic);
  spvDiagnosticDestroy(diagnostic);
  spvContextDestroy(context);
  return status == SPV_SUCCESS ? std::move(module) : nullptr;
}
#else
std::unique_ptr<SpirvModule> SpirvModule::read(std::span<const std::byte> /*bytes*/) {
  return nullptr;
}
#endif

}  // namespace sluice::opencl
