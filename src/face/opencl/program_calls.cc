// Programs: their sources are kept, for the kernels that must be analysed before they run.
//
// A driver reports the source text and the build options of a program, and some report its SPIR-V,
// but none reports the parts that a program was linked from. So SPIR-V is kept when it is passed
// in, and a linked program has the sources of its parts. Costs a copy of each module, where
// kernels are analysed. What it does not do: read binaries, or headers that are given to
// clCompileProgram (a text that includes others is not known).
#include <algorithm>

#include "entries.hpp"
#include "kernel_il.hpp"
#include "layer.hpp"
#include "objects.hpp"
#include "program.hpp"

namespace sluice::opencl {
namespace {

// Bytes that the driver reports about an object; none if it does not.
template <typename Ask>
std::string told(Ask&& ask) {
  size_t size = 0;
  if (ask(0, nullptr, &size) != CL_SUCCESS) return {};
  std::string bytes(size, 0);
  if (ask(size, bytes.data(), nullptr) != CL_SUCCESS) return {};
  return bytes;
}

std::string without_end(std::string text) {
  while (!text.empty() && text.back() == 0) text.pop_back();
  return text;
}

std::vector<std::byte> bytes_of(const void* begin, std::size_t size) {
  const auto* const first = static_cast<const std::byte*>(begin);
  return {first, first + size};
}

std::string options_of(cl_program program, cl_device_id device) {
  return without_end(told([&](size_t size, void* to, size_t* size_ret) {
    return driver().clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_OPTIONS, size, to,
                                          size_ret);
  }));
}

ProgramPart ask_driver(cl_program program, const std::vector<cl_device_id>& devices) {
  const auto ask = [program](cl_program_info name) {
    return told([&](size_t size, void* to, size_t* size_ret) {
      return driver().clGetProgramInfo(program, name, size, to, size_ret);
    });
  };
  ProgramPart part;
  part.source = without_end(ask(CL_PROGRAM_SOURCE));
  for (cl_device_id device : devices) part.options += options_of(program, device) + " ";
  const std::string il = part.source.empty() ? ask(CL_PROGRAM_IL) : std::string();
  part.il = bytes_of(il.data(), il.size());
  return part;
}

cl_program CL_API_CALL create_with_il(cl_context context, const void* il, size_t length,
                                      cl_int* error) {
  const cl_program program = driver().clCreateProgramWithIL(context, il, length, error);
  const auto known = objects().contexts.find(context);
  if (program == nullptr || known == nullptr || !known->has_buffers()) return program;
  auto noted = std::make_shared<Program>();
  noted->parts.emplace_back().il = bytes_of(il, length);
  objects().programs.insert(program, std::move(noted));
  return program;
}

cl_program CL_API_CALL link_programs(cl_context context, cl_uint devices,
                                     const cl_device_id* device_list, const char* options,
                                     cl_uint count, const cl_program* programs,
                                     void(CL_CALLBACK* notify)(cl_program, void*), void* user_data,
                                     cl_int* error) {
  const auto known = objects().contexts.find(context);
  if (known == nullptr || !known->has_buffers())
    return driver().clLinkProgram(context, devices, device_list, options, count, programs, notify,
                                  user_data, error);
  // Before the call, which may report the end of linking on another thread.
  auto noted = std::make_shared<Program>();
  for (cl_uint i = 0; programs != nullptr && i < count; ++i) {
    std::vector<ProgramPart> parts = parts_of(programs[i], known->devices());
    std::move(parts.begin(), parts.end(), std::back_inserter(noted->parts));
  }
  const cl_program linked = driver().clLinkProgram(context, devices, device_list, options, count,
                                                   programs, notify, user_data, error);
  if (linked != nullptr) objects().programs.insert(linked, std::move(noted));
  return linked;
}

cl_int CL_API_CALL retain_program(cl_program program) {
  if (const auto known = objects().programs.find(program)) ++known->references;
  return driver().clRetainProgram(program);
}

cl_int CL_API_CALL release_program(cl_program program) {
  const auto known = objects().programs.find(program);
  if (known != nullptr && --known->references == 0) objects().programs.erase(program);
  return driver().clReleaseProgram(program);
}

}  // namespace

std::vector<ProgramPart> parts_of(cl_program program, const std::vector<cl_device_id>& devices) {
  if (const auto known = objects().programs.find(program)) return known->parts;
  return {ask_driver(program, devices)};
}

Pointers pointers_of(const std::vector<ProgramPart>& parts, std::string_view kernel) {
  const auto is_il = [](const ProgramPart& part) { return !part.il.empty(); };
  if (std::all_of(parts.begin(), parts.end(), is_il)) {
    std::vector<std::span<const std::byte>> modules;
    for (const ProgramPart& part : parts) modules.emplace_back(part.il);
    return pointers_of_il(modules, kernel);
  }
  std::string source;
  std::string options;
  for (const ProgramPart& part : parts) {
    if (part.source.empty()) return Pointers::unknown;
    source += part.source + "\n";
    options += part.options + " ";
  }
  return pointers_of_source(source, options, kernel);
}

void override_program_calls(Entries& entries) noexcept {
  entries.set_if_there<create_with_il>(&cl_icd_dispatch::clCreateProgramWithIL);
  entries.set_if_there<link_programs>(&cl_icd_dispatch::clLinkProgram);
  entries.set<retain_program>(&cl_icd_dispatch::clRetainProgram);
  entries.set<release_program>(&cl_icd_dispatch::clReleaseProgram);
}

}  // namespace sluice::opencl
