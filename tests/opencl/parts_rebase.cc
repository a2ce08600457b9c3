// Modules of SPIR-V that are rebased: they are valid, kernels get more parameters, and what cannot
// be done soundly is refused. tests/opencl/programs/rebased.cc runs such kernels.
#include <gtest/gtest.h>

#include "face/opencl/spirv_rebase.hpp"

#ifdef SLUICE_SPIRV_TOOLS
#include <spirv-tools/libspirv.h>

namespace sluice::opencl {
namespace {

using Words = std::vector<std::uint32_t>;

class Tools {
 public:
  Tools() = default;
  Tools(const Tools&) = delete;
  Tools& operator=(const Tools&) = delete;
  ~Tools() { spvContextDestroy(context_); }

  Words assemble(const std::string& text) const {
    spv_binary binary = nullptr;
    spv_diagnostic diagnostic = nullptr;
    const spv_result_t status =
        spvTextToBinary(context_, text.data(), text.size(), &binary, &diagnostic);
    EXPECT_EQ(status, SPV_SUCCESS) << (diagnostic == nullptr ? "" : diagnostic->error);
    Words words;
    if (status == SPV_SUCCESS) words.assign(binary->code, binary->code + binary->wordCount);
    spvBinaryDestroy(binary);
    spvDiagnosticDestroy(diagnostic);
    return words;
  }
  // Empty if it is valid.
  std::string fault_of(const Words& words) const {
    spv_diagnostic diagnostic = nullptr;
    const spv_result_t status =
        spvValidateBinary(context_, words.data(), words.size(), &diagnostic);
    std::string fault = status == SPV_SUCCESS   ? ""
                        : diagnostic == nullptr ? "?"
                                                : diagnostic->error;
    spvDiagnosticDestroy(diagnostic);
    return fault;
  }
  std::string text_of(const Words& words) const {
    spv_text text = nullptr;
    spvBinaryToText(context_, words.data(), words.size(), 0, &text, nullptr);
    std::string found = text == nullptr ? "" : std::string(text->str, text->length);
    spvTextDestroy(text);
    return found;
  }

 private:
  spv_context context_ = spvContextCreate(SPV_ENV_OPENCL_2_1);
};

Result<RebasedModules> rebased(const std::vector<Words>& modules) {
  std::vector<std::span<const std::byte>> bytes;
  for (const Words& words : modules) bytes.push_back(std::as_bytes(std::span(words)));
  return rebase(bytes);
}

constexpr const char* head =
    "OpCapability Addresses\nOpCapability Linkage\nOpCapability Kernel\n"
    "OpCapability GenericPointer\nOpCapability Int64\n";
constexpr const char* types =
    "%void = OpTypeVoid\n%int = OpTypeInt 32 0\n%long = OpTypeInt 64 0\n"
    "%global = OpTypePointer CrossWorkgroup %int\n%table = OpTypePointer CrossWorkgroup %global\n"
    "%generic = OpTypePointer Generic %int\n%takes = OpTypeFunction %void %table %int\n"
    "%follows = OpTypeFunction %int %global\n%seven = OpConstant %int 7\n";

// A kernel "f" with a table of pointers and a number.
std::string kernel(const std::string& body, const std::string& decorations = "",
                   const char* addressing = "Physical64") {
  return std::string(head) + "OpMemoryModel " + addressing + " OpenCL\n" +
         "OpEntryPoint Kernel %f \"f\"\n" + decorations + types +
         "%f = OpFunction %void None %takes\n%t = OpFunctionParameter %table\n"
         "%n = OpFunctionParameter %int\n%l = OpLabel\n" +
         body + "OpReturn\nOpFunctionEnd\n";
}
constexpr const char* through = "%p = OpLoad %global %t Aligned 8\nOpStore %p %n Aligned 4\n";

std::string why_not(const std::string& text) {
  const Tools tools;
  const auto made = rebased({tools.assemble(text)});
  return made ? "" : std::string(made.error().detail());
}

TEST(Rebase, gives_kernels_the_place_of_the_buffer) {
  const Tools tools;
  const auto made = rebased({tools.assemble(kernel(through))});
  ASSERT_TRUE(made) << made.error().detail();
  EXPECT_EQ(tools.fault_of(made->modules.at(0)), "");
  ASSERT_EQ(made->kernels.size(), 1u);
  EXPECT_EQ(made->kernels[0].name, "f");
  EXPECT_EQ(made->kernels[0].parameters, 2u);
  EXPECT_EQ(made->kernels[0].moved, std::vector<std::uint32_t>{0});
  // Its own two, the buffer, where it begins, its size, and the table's address.
  const std::string text = tools.text_of(made->modules[0]);
  std::size_t parameters = 0;
  for (std::size_t at = 0; (at = text.find("OpFunctionParameter", at)) != std::string::npos; ++at)
    ++parameters;
  EXPECT_EQ(parameters, 6u) << text;
}

TEST(Rebase, keeps_the_promises_about_parameters_with_the_parameters) {
  const Tools tools;
  const auto made = rebased({tools.assemble(
      kernel(through, "OpDecorate %t FuncParamAttr NoCapture\nOpDecorate %t MaxByteOffset 8\n"))});
  ASSERT_TRUE(made) << made.error().detail();
  EXPECT_EQ(tools.fault_of(made->modules.at(0)), "");
  EXPECT_EQ(tools.text_of(made->modules[0]).find("MaxByteOffset"), std::string::npos);
}

TEST(Rebase, follows_calls_from_module_to_module) {
  const Tools tools;
  const std::string called = std::string(head) + "OpMemoryModel Physical64 OpenCL\n" +
                             "OpDecorate %g LinkageAttributes \"g\" Export\n" + types +
                             "%g = OpFunction %int None %follows\n%p = OpFunctionParameter "
                             "%global\n%l = OpLabel\n%v = OpLoad %int %p Aligned 4\n"
                             "OpReturnValue %v\nOpFunctionEnd\n";
  const std::string caller =
      std::string(head) + "OpMemoryModel Physical64 OpenCL\nOpEntryPoint Kernel %f \"f\"\n" +
      "OpDecorate %g LinkageAttributes \"g\" Import\n" +
      "OpDecorate %h LinkageAttributes \"h\" Import\n" + types +
      "%g = OpFunction %int None %follows\n%q = OpFunctionParameter %global\nOpFunctionEnd\n"
      "%h = OpFunction %int None %follows\n%r = OpFunctionParameter %global\nOpFunctionEnd\n"
      "%f = OpFunction %void None %takes\n%t = OpFunctionParameter %table\n"
      "%n = OpFunctionParameter %int\n%l = OpLabel\n%p = OpLoad %global %t Aligned 8\n"
      "%a = OpFunctionCall %int %g %p\n%b = OpFunctionCall %int %h %p\nOpReturn\nOpFunctionEnd\n";
  const auto made = rebased({tools.assemble(caller), tools.assemble(called)});
  ASSERT_TRUE(made) << made.error().detail();
  for (const Words& words : made->modules) EXPECT_EQ(tools.fault_of(words), "");
}

TEST(Rebase, refuses_what_it_cannot_do) {
  EXPECT_EQ(why_not(kernel(through)), "");
  EXPECT_NE(why_not(kernel(through, "", "Physical32")), "");
  EXPECT_NE(why_not(kernel(through, "OpDecorate %seven SpecId 1\n")), "");
  // A pointer whose kind is asked for: the answer would be about the device's place.
  EXPECT_NE(why_not(kernel("%p = OpLoad %global %t Aligned 8\n"
                           "%any = OpPtrCastToGeneric %generic %p\n"
                           "%g = OpGenericCastToPtrExplicit %global %any CrossWorkgroup\n")),
            "");
}

TEST(Rebase, takes_pointers_to_any_kind_of_memory) {
  EXPECT_EQ(why_not(kernel("%p = OpLoad %global %t Aligned 8\n"
                           "%any = OpPtrCastToGeneric %generic %p\n"
                           "OpStore %any %n Aligned 4\n")),
            "");
  EXPECT_EQ(why_not(kernel("%p = OpLoad %global %t Aligned 8\n%i = OpConvertPtrToU %long %p\n"
                           "%q = OpConvertUToPtr %global %i\nOpStore %q %n Aligned 4\n")),
            "");
}

TEST(Rebase, finds_variables_that_kernels_share) {
  const Tools tools;
  const auto has = [&](const std::string& text) {
    const Words words = tools.assemble(text);
    return have_shared_variables({std::as_bytes(std::span(words))});
  };
  EXPECT_FALSE(has(kernel(through)));
  std::string with = kernel(through);
  with.insert(with.find("%f = OpFunction"), "%kept = OpVariable %global CrossWorkgroup\n");
  EXPECT_TRUE(has(with));
}

}  // namespace
}  // namespace sluice::opencl

#endif
