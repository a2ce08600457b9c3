// The device's process of the coarse-grain driver: maps its memory where it is told, and runs
// kernels there with PoCL.
//
//   coarse-device SOCKET MEMORY   (two inherited descriptors)
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "protocol.hpp"

namespace {

using coarse::Ask;
using coarse::Message;
using coarse::Stretch;

cl_device_id device = nullptr;
cl_context context = nullptr;
cl_command_queue queue = nullptr;
std::map<std::uint64_t, cl_program> programs;
std::map<std::uint64_t, cl_kernel> kernels;
std::uint64_t last = 0;

bool open_pocl() {
  cl_platform_id platform = nullptr;
  cl_int status = CL_SUCCESS;
  if (clGetPlatformIDs(1, &platform, nullptr) != CL_SUCCESS) return false;
  if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) != CL_SUCCESS) return false;
  context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
  if (status == CL_SUCCESS)
    queue = clCreateCommandQueueWithProperties(context, device, nullptr, &status);
  return status == CL_SUCCESS;
}

void map(Message& question, Message& answer, int memory) {
  auto* const at = reinterpret_cast<void*>(question.get<std::uint64_t>());
  const auto size = question.get<std::uint64_t>();
  const auto offset = static_cast<off_t>(question.get<std::uint64_t>());
  const int rights = question.get<bool>() ? PROT_READ | PROT_WRITE : PROT_NONE;
  void* const got = mmap(at, size, rights, MAP_SHARED | MAP_FIXED_NOREPLACE, memory, offset);
  answer.put(static_cast<cl_int>(got == at ? CL_SUCCESS : CL_OUT_OF_RESOURCES));
}

void build(Message& question, Message& answer) {
  const std::string source = question.text();
  const std::string options = question.text() + " -cl-kernel-arg-info";
  const char* text = source.c_str();
  const auto* bytes = reinterpret_cast<const unsigned char*>(source.data());
  const size_t size = source.size();
  cl_int status = CL_SUCCESS;
  const cl_program program =
      source.starts_with("BC\xC0\xDE")  // LLVM's bitcode
          ? clCreateProgramWithBinary(context, 1, &device, &size, &bytes, nullptr, &status)
          : clCreateProgramWithSource(context, 1, &text, nullptr, &status);
  if (status == CL_SUCCESS)
    status = clBuildProgram(program, 1, &device, options.c_str(), nullptr, nullptr);
  std::string log(16384, 0);
  clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, log.size(), log.data(), nullptr);
  programs[++last] = program;
  answer.put(status).put(last).put(std::string(log.c_str()));
}

void make_kernel(Message& question, Message& answer) {
  const auto program = question.get<std::uint64_t>();
  cl_int status = CL_SUCCESS;
  const cl_kernel kernel = clCreateKernel(programs[program], question.text().c_str(), &status);
  cl_uint arguments = 0;
  if (kernel != nullptr) {
    clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(arguments), &arguments, nullptr);
    kernels[++last] = kernel;
  }
  answer.put(status).put(last).put(arguments);
  for (cl_uint i = 0; i < arguments; ++i) {
    cl_kernel_arg_type_qualifier qualifier = 0;
    clGetKernelArgInfo(kernel, i, CL_KERNEL_ARG_TYPE_QUALIFIER, sizeof(qualifier), &qualifier,
                       nullptr);
    answer.put(qualifier);
  }
}

void give_rights(const std::vector<Stretch>& reached, int rights) {
  for (const Stretch& one : reached)
    if (one.size != 0) mprotect(reinterpret_cast<void*>(one.begin), one.size, rights);
}

void launch(Message& question, Message& answer) {
  const cl_kernel kernel = kernels[question.get<std::uint64_t>()];
  const auto arguments = question.get<cl_uint>();
  cl_int status = CL_SUCCESS;
  for (cl_uint i = 0; i < arguments && status == CL_SUCCESS; ++i) {
    const bool is_pointer = question.get<char>() != 0;
    const std::string bytes = question.text();
    if (is_pointer) {
      void* pointer = nullptr;
      std::memcpy(&pointer, bytes.data(), sizeof(pointer));
      status = clSetKernelArgSVMPointer(kernel, i, pointer);
    } else {
      status = clSetKernelArg(kernel, i, bytes.size(), bytes.data());
    }
  }
  std::vector<Stretch> reached(question.get<cl_uint>());
  for (Stretch& one : reached) one = question.get<Stretch>();
  const auto dimensions = question.get<cl_uint>();
  size_t sizes[9];
  for (size_t& size : sizes) size = question.get<std::uint64_t>();
  give_rights(reached, PROT_READ | PROT_WRITE);
  if (status == CL_SUCCESS)
    status = clEnqueueNDRangeKernel(queue, kernel, dimensions, sizes, sizes + 3,
                                    sizes[6] == 0 ? nullptr : sizes + 6, 0, nullptr, nullptr);
  if (status == CL_SUCCESS) status = clFinish(queue);
  give_rights(reached, PROT_NONE);
  answer.put(status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int socket = std::atoi(argv[1]);
  const int memory = std::atoi(argv[2]);
  const bool opened = open_pocl();
  Message question;
  while (question.receive(socket)) {
    Message answer;
    switch (question.get<Ask>()) {
      case Ask::info:
        answer.put(static_cast<cl_int>(opened ? CL_SUCCESS : CL_DEVICE_NOT_AVAILABLE));
        break;
      case Ask::map:
        map(question, answer, memory);
        break;
      case Ask::unmap: {
        auto* const at = reinterpret_cast<void*>(question.get<std::uint64_t>());
        munmap(at, question.get<std::uint64_t>());
        answer.put(cl_int{CL_SUCCESS});
        break;
      }
      case Ask::build:
        build(question, answer);
        break;
      case Ask::kernel:
        make_kernel(question, answer);
        break;
      case Ask::launch:
        launch(question, answer);
        break;
    }
    if (!answer.send(socket)) break;
  }
  return 0;
}
