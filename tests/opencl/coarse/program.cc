// Programs from source and of SPIR-V, which may be linked, and kernels.
//
// PoCL, which runs the kernels, may take no SPIR-V. So for each module the text is built that
// COARSE_IL_SOURCE names, which must be what the modules were compiled from. Where COARSE_LLVM_SPIRV
// names LLVM's translator, the module itself is built instead, as bitcode, which PoCL does take.
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>
#include <iterator>

extern char** environ;

#include "driver.hpp"

namespace coarse {
namespace {

cl_program create_program(cl_context context, cl_uint count, const char** texts,
                          const size_t* lengths, cl_int* error) {
  auto* const program = new _cl_program;
  program->context = context;
  for (cl_uint i = 0; i < count; ++i)
    program->source += lengths != nullptr && lengths[i] != 0 ? std::string(texts[i], lengths[i])
                                                             : std::string(texts[i]);
  if (error != nullptr) *error = CL_SUCCESS;
  return program;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Empty if the translator refuses the module.
std::string bitcode_of(const char* translator, const std::string& il) {
  char folder[] = "/tmp/coarse-XXXXXX";
  if (mkdtemp(folder) == nullptr) return {};
  std::string from = std::string(folder) + "/module.spv";
  std::string to = std::string(folder) + "/module.bc";
  std::ofstream(from, std::ios::binary) << il;
  std::string words[] = {translator, "-r", "-o", to, from};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data(),
                       words[3].data(), words[4].data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, translator, nullptr, nullptr, arguments, environ) == 0)
    waitpid(child, nullptr, 0);
  std::string bitcode = bytes_of(to);
  unlink(from.c_str());
  unlink(to.c_str());
  rmdir(folder);
  return bitcode;
}

cl_program create_program_with_il(cl_context context, const void* il, size_t length,
                                  cl_int* error) {
  const char* const path = std::getenv("COARSE_IL_SOURCE");
  const char* const translator = std::getenv("COARSE_LLVM_SPIRV");
  auto* const program = new _cl_program;
  program->context = context;
  program->il.assign(static_cast<const char*>(il), length);
  program->built = translator != nullptr ? bitcode_of(translator, program->il)
                                         : bytes_of(path == nullptr ? "" : path);
  const bool is_there = translator == nullptr || !program->built.empty();
  if (error != nullptr) *error = is_there ? CL_SUCCESS : CL_INVALID_VALUE;
  if (!is_there) {
    delete program;
    return nullptr;
  }
  return program;
}

const std::string& text_to_build(cl_program program) {
  return program->il.empty() ? program->source : program->built;
}

cl_int compile(cl_program program, cl_uint, const cl_device_id*, const char*, cl_uint,
               const cl_program*, const char**, void (*)(cl_program, void*), void*) {
  program->built = text_to_build(program);
  return CL_SUCCESS;
}

cl_int build(cl_program program, cl_uint count, const cl_device_id* list, const char* options,
             void (*)(cl_program, void*), void*) {
  for (cl_uint i = 0; i < count; ++i) program->options[list[i]] = options == nullptr ? "" : options;
  Message question;
  question.put(Ask::build)
      .put(text_to_build(program))
      .put(std::string(options == nullptr ? "" : options));
  Message answer = ask(question);
  const auto status = answer.get<cl_int>();
  program->number = answer.get<std::uint64_t>();
  program->log = answer.text();
  return status;
}

// As drivers do, it tells of a linked program neither its text nor its SPIR-V.
cl_program link(cl_context context, cl_uint, const cl_device_id*, const char* options,
                cl_uint count, const cl_program* programs, void (*)(cl_program, void*), void*,
                cl_int* error) {
  auto* const linked = new _cl_program;
  linked->context = context;
  for (cl_uint i = 0; i < count; ++i)
    linked->source += programs[i]->built + (count == 1 ? "" : "\n");  // bitcode is one module's
  const cl_int status = build(linked, 0, nullptr, options, nullptr, nullptr);
  linked->source.clear();
  if (error != nullptr) *error = status;
  return linked;
}

cl_int build_info(cl_program program, cl_device_id device, cl_program_build_info name, size_t size,
                  void* value, size_t* size_ret) {
  if (name == CL_PROGRAM_BUILD_OPTIONS)
    return give(program->options[device], size, value, size_ret);
  return name == CL_PROGRAM_BUILD_LOG ? give(program->log, size, value, size_ret)
                                      : CL_INVALID_VALUE;
}

cl_int program_info(cl_program program, cl_program_info name, size_t size, void* value,
                    size_t* size_ret) {
  return name == CL_PROGRAM_SOURCE
             ? give(program->source, size, value, size_ret)
             : CL_INVALID_VALUE;  // its SPIR-V neither, as a driver before OpenCL 2.1
}

cl_kernel create_kernel(cl_program program, const char* name, cl_int* error) {
  Message question;
  question.put(Ask::kernel).put(program->number).put(std::string(name));
  Message answer = ask(question);
  const auto status = answer.get<cl_int>();
  if (error != nullptr) *error = status;
  if (status != CL_SUCCESS) return nullptr;
  auto* const kernel = new _cl_kernel;
  retain(program);
  kernel->program = program;
  kernel->name = name;
  kernel->number = answer.get<std::uint64_t>();
  const auto count = answer.get<cl_uint>();
  for (cl_uint i = 0; i < count; ++i)
    kernel->qualifiers.push_back(answer.get<cl_kernel_arg_type_qualifier>());
  kernel->arguments.resize(count);
  kernel->was_pointer.resize(count);
  kernel->spoilt.resize(count);
  return kernel;
}

cl_int kernel_info(cl_kernel kernel, cl_kernel_info name, size_t size, void* value,
                   size_t* size_ret) {
  switch (name) {
    case CL_KERNEL_CONTEXT:
      return give(kernel->program->context, size, value, size_ret);
    case CL_KERNEL_PROGRAM:
      return give(kernel->program, size, value, size_ret);
    case CL_KERNEL_NUM_ARGS:
      return give(static_cast<cl_uint>(kernel->arguments.size()), size, value, size_ret);
    case CL_KERNEL_FUNCTION_NAME:
      return give(kernel->name, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int argument_info(cl_kernel kernel, cl_uint index, cl_kernel_arg_info name, size_t size,
                     void* value, size_t* size_ret) {
  if (index >= kernel->qualifiers.size()) return CL_INVALID_ARG_INDEX;
  return name == CL_KERNEL_ARG_TYPE_QUALIFIER
             ? give(kernel->qualifiers[index], size, value, size_ret)
             : CL_INVALID_VALUE;
}

cl_int set_argument(cl_kernel kernel, cl_uint index, size_t size, const void* value) {
  if (index >= kernel->arguments.size()) return CL_INVALID_ARG_INDEX;
  // Of local memory there is none; null for a buffer is a null pointer.
  const cl_mem none = nullptr;
  if (value == nullptr && size != sizeof(none)) return CL_INVALID_ARG_VALUE;
  bool is_pointer = value == nullptr;
  if (is_pointer) value = &none;
  std::string bytes(static_cast<const char*>(value), size);
  if (cl_mem buffer = nullptr; size == sizeof(buffer)) {
    std::memcpy(&buffer, value, size);
    const void* const device = device_bytes(buffer);
    is_pointer = is_pointer || device != nullptr;
    if (device != nullptr) bytes.assign(reinterpret_cast<const char*>(&device), sizeof(device));
  }
  kernel->spoilt[index] = kernel->spoilt[index] || kernel->was_pointer[index];
  kernel->arguments[index] = {is_pointer, std::move(bytes)};
  return CL_SUCCESS;
}

cl_int set_pointer(cl_kernel kernel, cl_uint index, const void* value) {
  if (index >= kernel->arguments.size()) return CL_INVALID_ARG_INDEX;
  kernel->was_pointer[index] = true;
  kernel->spoilt[index] = false;
  kernel->arguments[index] = {true,
                              std::string(reinterpret_cast<const char*>(&value), sizeof(value))};
  return CL_SUCCESS;
}

cl_int set_device_pointer(cl_kernel kernel, cl_uint index, cl_ulong address) {
  if (index >= kernel->arguments.size()) return CL_INVALID_ARG_INDEX;
  kernel->arguments[index] = {
      true, std::string(reinterpret_cast<const char*>(&address), sizeof(address))};
  return CL_SUCCESS;
}

// As a driver would, it wants pointers that it knows.
cl_int exec_info(cl_kernel kernel, cl_kernel_exec_info name, size_t size, const void* value) {
  if (name != (has_addresses() ? device_pointers_info : CL_KERNEL_EXEC_INFO_SVM_PTRS) || size == 0)
    return CL_INVALID_VALUE;
  const auto* const pointers = static_cast<const void* const*>(value);
  std::vector<const void*> listed(pointers, pointers + size / sizeof(void*));
  for (const void* one : listed)
    if (has_addresses() ? !is_device_address(one) : place_of(one) == one) return CL_INVALID_VALUE;
  kernel->followed = std::move(listed);
  return CL_SUCCESS;
}

// What a kernel reaches, where the device does not reach everything.
std::vector<Stretch> reached_by(const _cl_kernel& kernel) {
  std::vector<Stretch> reached;
  if (!has_addresses()) return reached;
  for (const void* one : kernel.followed) reached.push_back(stretch_of(one));
  for (const auto& [is_pointer, bytes] : kernel.arguments) {
    if (!is_pointer) continue;
    const void* one = nullptr;
    std::memcpy(&one, bytes.data(), sizeof(one));
    reached.push_back(stretch_of(one));
  }
  return reached;
}

cl_int launch(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t* offset,
              const size_t* global, const size_t* local, cl_uint count, const cl_event* list,
              cl_event* event) {
  // As NVIDIA's (580.159) does.
  for (const bool spoilt : kernel->spoilt)
    if (spoilt) return CL_INVALID_KERNEL_ARGS;
  Message question;
  question.put(Ask::launch).put(kernel->number).put(static_cast<cl_uint>(kernel->arguments.size()));
  for (const auto& [is_pointer, bytes] : kernel->arguments)
    question.put(static_cast<char>(is_pointer)).put(bytes);
  const std::vector<Stretch> reached = reached_by(*kernel);
  question.put(static_cast<cl_uint>(reached.size()));
  for (const Stretch& one : reached) question.put(one);
  question.put(dimensions);
  for (const size_t* sizes : {offset, global, local})
    for (cl_uint i = 0; i < 3; ++i)
      question.put(static_cast<std::uint64_t>(sizes != nullptr && i < dimensions ? sizes[i] : 0));
  std::vector<const void*> used = kernel->followed;
  for (const auto& [is_pointer, bytes] : kernel->arguments) {
    if (!is_pointer) continue;
    used.emplace_back();
    std::memcpy(&used.back(), bytes.data(), sizeof(void*));
  }
  return enqueue(queue, CL_COMMAND_NDRANGE_KERNEL, count, list, event, [question, used] {
    send_to_device(used);
    return ask(question).get<cl_int>();
  });
}

}  // namespace

void* device_pointer_setter() { return reinterpret_cast<void*>(set_device_pointer); }

void fill_program_table(cl_icd_dispatch& calls) {
  calls.clCreateProgramWithSource = create_program;
  calls.clCreateProgramWithIL = create_program_with_il;
  calls.clBuildProgram = build;
  calls.clCompileProgram = compile;
  calls.clLinkProgram = link;
  calls.clGetProgramBuildInfo = build_info;
  calls.clGetProgramInfo = program_info;
  calls.clRetainProgram = retain<cl_program>;
  calls.clReleaseProgram = release<cl_program>;
  calls.clCreateKernel = create_kernel;
  calls.clGetKernelInfo = kernel_info;
  calls.clGetKernelArgInfo = argument_info;
  calls.clRetainKernel = retain<cl_kernel>;
  calls.clReleaseKernel = release<cl_kernel>;
  calls.clSetKernelArg = set_argument;
  calls.clSetKernelArgSVMPointer = set_pointer;
  calls.clSetKernelExecInfo = exec_info;
  calls.clEnqueueNDRangeKernel = launch;
}

}  // namespace coarse
