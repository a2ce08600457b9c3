// What the layer decides without a driver: where the pointers come from that a kernel of SPIR-V
// follows.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "face/opencl/kernel_il.hpp"

#ifdef SLUICE_SPIRV_TOOLS
#include <spirv-tools/libspirv.h>
#endif

namespace sluice::opencl {
namespace {

#ifdef SLUICE_SPIRV_TOOLS

std::vector<std::uint32_t> assemble(const std::string& text) {
  const spv_context context = spvContextCreate(SPV_ENV_UNIVERSAL_1_4);
  spv_binary binary = nullptr;
  spv_diagnostic diagnostic = nullptr;
  const spv_result_t status =
      spvTextToBinary(context, text.data(), text.size(), &binary, &diagnostic);
  EXPECT_EQ(status, SPV_SUCCESS) << (diagnostic == nullptr ? "" : diagnostic->error);
  std::vector<std::uint32_t> words;
  if (status == SPV_SUCCESS) words.assign(binary->code, binary->code + binary->wordCount);
  spvBinaryDestroy(binary);
  spvDiagnosticDestroy(diagnostic);
  spvContextDestroy(context);
  return words;
}

std::vector<std::uint32_t> module_of_file(const char* name) {
  std::ifstream file(std::string(SLUICE_IL_FOLDER "/") + name);
  EXPECT_TRUE(file.good()) << name;
  return assemble({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
}

Pointers of(const std::vector<std::vector<std::uint32_t>>& modules, const char* kernel = "f") {
  std::vector<std::span<const std::byte>> bytes;
  for (const auto& words : modules) bytes.push_back(std::as_bytes(std::span(words)));
  return pointers_of_il(bytes, kernel);
}

// A module with types, and more text behind them.
std::vector<std::uint32_t> module_with(const std::string& rest, const char* decorations = "",
                                       const char* entry = "OpEntryPoint Kernel %f \"f\"\n") {
  return assemble(std::string("OpCapability Addresses\nOpCapability Linkage\nOpCapability Kernel\n"
                              "OpCapability Int64\nOpMemoryModel Physical64 OpenCL\n") +
                  entry + decorations +
                  "%void = OpTypeVoid\n%int = OpTypeInt 32 0\n%long = OpTypeInt 64 0\n"
                  "%seven = OpConstant %int 7\n%at = OpConstant %long 4096\n"
                  "%global = OpTypePointer CrossWorkgroup %int\n"
                  "%global2 = OpTypePointer CrossWorkgroup %global\n"
                  "%takes = OpTypeFunction %void %global\n" +
                  rest);
}

// Those of il/kernels.cl.
class CompiledKernels : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Levels, CompiledKernels,
                         testing::Values("kernels_o0.spvasm", "kernels_o1.spvasm"));

TEST_P(CompiledKernels, harmless_ones_are_found_beside_others) {
  const std::vector<std::vector<std::uint32_t>> modules = {module_of_file(GetParam())};
  for (const char* kernel :
       {"plain", "walked", "chosen", "local_sum", "counted", "constants", "by_value"})
    EXPECT_EQ(of(modules, kernel), Pointers::from_arguments) << kernel;
}

TEST_P(CompiledKernels, pointers_in_the_arguments_memory_are_found) {
  const std::vector<std::vector<std::uint32_t>> modules = {module_of_file(GetParam())};
  for (const char* kernel : {"chase", "table", "inside", "chased_constant"})
    EXPECT_EQ(of(modules, kernel), Pointers::in_memory) << kernel;
}

TEST_P(CompiledKernels, pointers_that_are_made_or_kept_are_not_ruled_out) {
  const std::vector<std::vector<std::uint32_t>> modules = {module_of_file(GetParam())};
  for (const char* kernel : {"from_integers", "from_value", "kept", "copied", "through_local"})
    EXPECT_EQ(of(modules, kernel), Pointers::unknown) << kernel;
}

TEST(KernelIl, a_linked_program_is_all_its_modules) {
  const char* const calls =
      "%g = OpFunction %void None %takes\n%ga = OpFunctionParameter %global\nOpFunctionEnd\n"
      "%f = OpFunction %void None %takes\n%fa = OpFunctionParameter %global\n%fl = OpLabel\n"
      "%c = OpFunctionCall %void %g %fa\nOpReturn\nOpFunctionEnd\n";
  const auto caller = module_with(calls, "OpDecorate %g LinkageAttributes \"g\" Import\n");
  const char* const exports = "OpDecorate %g LinkageAttributes \"g\" Export\n";
  const std::string begin =
      "%g = OpFunction %void None %takes\n%ga = OpFunctionParameter %global\n%gl = OpLabel\n";
  const auto harmless =
      module_with(begin + "OpStore %ga %seven\nOpReturn\nOpFunctionEnd\n", exports, "");
  const auto follows =
      module_with(begin +
                      "%b = OpBitcast %global2 %ga\n%p = OpLoad %global %b\nOpStore %p %seven\n"
                      "OpReturn\nOpFunctionEnd\n",
                  exports, "");
  EXPECT_EQ(of({caller, harmless}), Pointers::from_arguments);
  EXPECT_EQ(of({harmless, caller}), Pointers::from_arguments);
  EXPECT_EQ(of({caller, follows}), Pointers::in_memory);
  EXPECT_EQ(of({caller}), Pointers::unknown) << "a function that no module has";
}

TEST(KernelIl, arguments_by_value_with_pointers_are_not_ruled_out) {
  const auto by_value = module_with(
      "%pair = OpTypeStruct %global %global\n%in = OpTypePointer Function %pair\n"
      "%place = OpTypePointer Function %global\n%zero = OpConstant %int 0\n"
      "%takesin = OpTypeFunction %void %in\n"
      "%f = OpFunction %void None %takesin\n%fa = OpFunctionParameter %in\n%fl = OpLabel\n"
      "%m = OpInBoundsAccessChain %place %fa %zero\n%p = OpLoad %global %m\n"
      "OpStore %p %seven\nOpReturn\nOpFunctionEnd\n");
  EXPECT_EQ(of({by_value}), Pointers::unknown);
}

TEST(KernelIl, constants_that_become_pointers_are_not_ruled_out) {
  const std::string body =
      "%f = OpFunction %void None %takes\n%fa = OpFunctionParameter %global\n%fl = OpLabel\n"
      "OpStore %p %seven\nOpReturn\nOpFunctionEnd\n";
  EXPECT_EQ(of({module_with("%p = OpSpecConstantOp %global ConvertUToPtr %at\n" + body)}),
            Pointers::unknown);
  EXPECT_EQ(of({module_with("%v = OpVariable %global CrossWorkgroup\n"
                            "%p = OpSpecConstantOp %global InBoundsPtrAccessChain %v %at\n" +
                            body)}),
            Pointers::from_arguments);
}

// A pointer that is loaded from memory: only an argument that may lead there proves that the
// program put it into an argument's memory.
TEST(KernelIl, pointers_in_variables_of_the_module_are_not_ruled_out_and_prove_nothing) {
  const std::string variables =
      "%bool = OpTypeBool\n%yes = OpConstantTrue %bool\n"
      "%v = OpVariable %global2 CrossWorkgroup\n%w = OpVariable %global2 CrossWorkgroup\n";
  const std::string kernel =
      "%f = OpFunction %void None %takes\n%fa = OpFunctionParameter %global\n%fl = OpLabel\n"
      "%argument = OpBitcast %global2 %fa\n";
  const auto of_choice = [&](const std::string& choice) {
    return of({module_with(variables + kernel + choice +
                           "%p = OpLoad %global %c\nOpStore %p %seven\n"
                           "OpReturn\nOpFunctionEnd\n")});
  };
  EXPECT_EQ(of_choice("%c = OpSelect %global2 %yes %v %w\n"), Pointers::unknown);
  EXPECT_EQ(of_choice("%c = OpSelect %global2 %yes %v %argument\n"), Pointers::in_memory);
  const std::string branch = "OpBranch %l\n%l = OpLabel\n";
  EXPECT_EQ(of_choice(branch + "%c = OpPhi %global2 %v %fl\n"), Pointers::unknown);
  EXPECT_EQ(of_choice(branch + "%c = OpPhi %global2 %argument %fl\n"), Pointers::in_memory);

  // By a function: what it gets, and what it gives.
  const std::string helpers =
      "%takes2 = OpTypeFunction %void %global2\n%gives2 = OpTypeFunction %global2 %global2\n"
      "%g = OpFunction %void None %takes2\n%ga = OpFunctionParameter %global2\n%gl = OpLabel\n"
      "%gp = OpLoad %global %ga\nOpStore %gp %seven\nOpReturn\nOpFunctionEnd\n"
      "%h = OpFunction %global2 None %gives2\n%ha = OpFunctionParameter %global2\n"
      "%hl = OpLabel\nOpReturnValue %ha\nOpFunctionEnd\n";
  const auto of_calls = [&](const std::string& calls) {
    return of({module_with(variables + helpers + kernel + calls + "OpReturn\nOpFunctionEnd\n")});
  };
  EXPECT_EQ(of_calls("%a = OpFunctionCall %void %g %v\n%b = OpFunctionCall %void %g %w\n"),
            Pointers::unknown);
  EXPECT_EQ(of_calls("%a = OpFunctionCall %void %g %v\n%b = OpFunctionCall %void %g %argument\n"),
            Pointers::in_memory);
  EXPECT_EQ(of_calls("%a = OpFunctionCall %global2 %h %v\n%b = OpFunctionCall %void %g %a\n"),
            Pointers::unknown);
  EXPECT_EQ(
      of_calls("%a = OpFunctionCall %global2 %h %argument\n%b = OpFunctionCall %void %g %a\n"),
      Pointers::in_memory);
}

TEST(KernelIl, a_function_that_calls_itself_ends) {
  EXPECT_EQ(of({module_with(
                "%f = OpFunction %void None %takes\n%fa = OpFunctionParameter %global\n"
                "%fl = OpLabel\n%c = OpFunctionCall %void %f %fa\nOpReturn\nOpFunctionEnd\n")}),
            Pointers::from_arguments);
}

// A module comes from the program, and may be anything.
TEST(KernelIl, damaged_modules_say_nothing) {
  const std::vector<std::uint32_t> good = module_of_file("kernels_o1.spvasm");
  EXPECT_EQ(of({good}, "nobody"), Pointers::unknown);
  EXPECT_EQ(of({}), Pointers::unknown);
  EXPECT_EQ(of({{}}), Pointers::unknown);
  for (std::size_t size = 0; size < good.size(); size += 97)
    (void)of({{good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}}, "plain");
  std::uint32_t random = 1;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint32_t> bad = good;
    for (int i = 0; i < 3; ++i) {
      random = random * 1664525U + 1013904223U;
      bad[random / 7 % bad.size()] ^= 1U << (random >> 27);
    }
    (void)of({bad}, "plain");
    (void)of({bad}, "chase");
  }
  const auto bytes = std::as_bytes(std::span(good));
  EXPECT_EQ(pointers_of_il({bytes.first(bytes.size() - 1)}, "plain"), Pointers::unknown);
}

#else

TEST(KernelIl, without_a_reader_nothing_is_ruled_out) {
  EXPECT_FALSE(reads_il());
  EXPECT_EQ(pointers_of_il({}, "f"), Pointers::unknown);
}

#endif

}  // namespace
}  // namespace sluice::opencl
