// Programs: their sources are kept, for the kernels that must be analysed before they run.
//
// A driver reports the source text and the build options of a program, and some report its SPIR-V,
// but none reports the parts that a program was linked from. So SPIR-V is kept when it is passed
// in, and a linked program has the sources of its parts. A binary carries the texts that it was
// made of (program_binary.hpp). Costs a copy of each module, where kernels are analysed. What it
// does not do: read binaries made without the layer, or headers that are given to clCompileProgram
// (a text that includes others is not known).
#include <algorithm>
#include <cstring>
#include <span>

#include "entries.hpp"
#include "kernel_il.hpp"
#include "layer.hpp"
#include "objects.hpp"
#include "program.hpp"
#include "program_binary.hpp"

namespace sluice::opencl {
namespace {

// Bytes that the driver reports about an object; none if it does not.
template <typename Ask>
std::string answer_of(Ask&& ask) {
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

ProgramPart ask_driver(cl_program program, const std::vector<cl_device_id>& devices) {
  const auto ask = [program](cl_program_info name) {
    return answer_of([&](size_t size, void* to, size_t* size_ret) {
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
  noted->is_linked = true;
  for (cl_uint i = 0; programs != nullptr && i < count; ++i) {
    std::vector<ProgramPart> parts = parts_of(programs[i], known->devices());
    std::move(parts.begin(), parts.end(), std::back_inserter(noted->parts));
  }
  const cl_program linked = driver().clLinkProgram(context, devices, device_list, options, count,
                                                   programs, notify, user_data, error);
  if (linked != nullptr) objects().programs.insert(linked, std::move(noted));
  return linked;
}

// --- binaries ------------------------------------------------------------------------------------

// The context of a program whose kernels are analysed; null if they are not.
std::shared_ptr<Context> analysed_context(cl_program program) {
  cl_context context = nullptr;
  driver().clGetProgramInfo(program, CL_PROGRAM_CONTEXT, sizeof(context), &context, nullptr);
  auto known = objects().contexts.find(context);
  return known != nullptr && known->has_buffers() ? known : nullptr;
}

// One for each device, 0 where the program has none; empty on an error.
std::vector<size_t> driver_sizes(cl_program program) {
  size_t bytes = 0;
  if (driver().clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, 0, nullptr, &bytes) != CL_SUCCESS)
    return {};
  std::vector<size_t> sizes(bytes / sizeof(size_t));
  const cl_int status =
      driver().clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, bytes, sizes.data(), nullptr);
  return status == CL_SUCCESS ? sizes : std::vector<size_t>();
}

cl_int CL_API_CALL get_program_info(cl_program program, cl_program_info name, size_t size,
                                    void* value, size_t* size_ret) {
  const cl_int status = driver().clGetProgramInfo(program, name, size, value, size_ret);
  const bool is_of_binaries = name == CL_PROGRAM_BINARY_SIZES || name == CL_PROGRAM_BINARIES;
  if (status != CL_SUCCESS || !is_of_binaries || value == nullptr) return status;
  const auto context = analysed_context(program);
  if (context == nullptr) return status;
  const std::vector<std::byte> end = end_of_binary(parts_of(program, context->devices()));
  const std::vector<size_t> sizes = driver_sizes(program);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 || end.empty()) continue;
    if (name == CL_PROGRAM_BINARY_SIZES)
      static_cast<size_t*>(value)[i] += end.size();
    else if (unsigned char* const to = static_cast<unsigned char**>(value)[i]; to != nullptr)
      std::memcpy(to + sizes[i], end.data(), end.size());
  }
  return status;
}

// The driver gets its own bytes, whatever the context: others may have kept the binary.
cl_program CL_API_CALL create_with_binary(cl_context context, cl_uint count,
                                          const cl_device_id* devices, const size_t* lengths,
                                          const unsigned char** binaries, cl_int* taken,
                                          cl_int* error) {
  std::vector<size_t> own_lengths;
  auto noted = std::make_shared<Program>();
  for (cl_uint i = 0; lengths != nullptr && binaries != nullptr && i < count; ++i) {
    own_lengths.push_back(lengths[i]);
    if (binaries[i] == nullptr) continue;
    auto read = read_binary(std::as_bytes(std::span(binaries[i], lengths[i])));
    if (!read) continue;
    own_lengths[i] = read->driver_size;
    noted->parts = std::move(read->parts);
    noted->is_linked = noted->parts.size() > 1;
  }
  const cl_program program = driver().clCreateProgramWithBinary(
      context, count, devices, own_lengths.empty() ? lengths : own_lengths.data(), binaries, taken,
      error);
  const auto known = objects().contexts.find(context);
  if (program != nullptr && known != nullptr && known->has_buffers() && !noted->parts.empty())
    objects().programs.insert(program, std::move(noted));
  return program;
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

std::string options_of(cl_program program, cl_device_id device) {
  return without_end(answer_of([&](size_t size, void* to, size_t* size_ret) {
    return driver().clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_OPTIONS, size, to,
                                          size_ret);
  }));
}

cl_program program_of(cl_kernel kernel) {
  cl_program program = nullptr;
  driver().clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof(program), &program, nullptr);
  return program;
}

std::vector<std::span<const std::byte>> modules_of(const std::vector<ProgramPart>& parts) {
  std::vector<std::span<const std::byte>> modules;
  for (const ProgramPart& part : parts) {
    if (part.il.empty()) return {};
    modules.emplace_back(part.il);
  }
  return modules;
}

std::vector<ProgramPart> parts_of(cl_program program, const std::vector<cl_device_id>& devices) {
  if (const auto known = objects().programs.find(program)) return known->parts;
  return {ask_driver(program, devices)};
}

Pointers pointers_of(const std::vector<ProgramPart>& parts, std::string_view kernel) {
  const auto modules = modules_of(parts);
  if (!modules.empty() || parts.empty()) return pointers_of_il(modules, kernel);
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
  entries.set<create_with_binary>(&cl_icd_dispatch::clCreateProgramWithBinary);
  entries.set<get_program_info>(&cl_icd_dispatch::clGetProgramInfo);
  entries.set_if_there<link_programs>(&cl_icd_dispatch::clLinkProgram);
  entries.set<retain_program>(&cl_icd_dispatch::clRetainProgram);
  entries.set<release_program>(&cl_icd_dispatch::clReleaseProgram);
}

}  // namespace sluice::opencl
