// SpirvModule: the instructions of a SPIR-V module, by their order and by the ids that they define.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sluice::opencl {

struct SpirvInstruction {
  std::uint16_t opcode = 0;
  std::uint32_t type = 0;    // the id of the result's; 0: none
  std::uint32_t result = 0;  // 0: none
  std::span<const std::uint32_t> words;

  // 0 behind the end: no id, and no enumerant of a valid module.
  [[nodiscard]] std::uint32_t word(std::size_t index) const noexcept {
    return index < words.size() ? words[index] : 0;
  }
  // The literal that begins at a word; empty if it has no end.
  [[nodiscard]] std::string_view text(std::size_t index) const noexcept;
};

class SpirvModule {
 public:
  // Null: not a module that the reader (SPIRV-Tools) takes.
  [[nodiscard]] static std::unique_ptr<SpirvModule> read(std::span<const std::byte> bytes);
  SpirvModule(const SpirvModule&) = delete;
  SpirvModule& operator=(const SpirvModule&) = delete;

  [[nodiscard]] const std::vector<SpirvInstruction>& all() const noexcept { return all_; }
  // Of its header.
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  [[nodiscard]] std::uint32_t id_bound() const noexcept { return id_bound_; }
  // Null if there is none.
  [[nodiscard]] const SpirvInstruction* definition(std::uint32_t id) const noexcept;

 private:
  SpirvModule() = default;
  void add(SpirvInstruction instruction);

  std::uint32_t version_ = 0;
  std::uint32_t id_bound_ = 0;
  std::vector<std::uint32_t> words_;  // in this machine's order of bytes
  std::vector<SpirvInstruction> all_;
  std::unordered_map<std::uint32_t, std::size_t> definitions_;
};

}  // namespace sluice::opencl
