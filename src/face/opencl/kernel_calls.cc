// Kernels: finding the managed memory that they use, and launching them.
//
// A pointer argument names its whole allocation, since a kernel may reach any of it; an argument
// that is declared const is only read. A buffer over managed memory names its own bytes. Indirect
// flags name everything of the context. Over buffers an argument becomes the range's buffer, or a
// part of it from the pointer on; a device address stays what it is. Cites: the extension's "Using
// Unified Shared Memory with Kernels".
#include <algorithm>
#include <cstring>
#include <string>

#include "admission.hpp"
#include "entries.hpp"
#include "extension.hpp"
#include "home.hpp"
#include "layer.hpp"
#include "managed_buffer.hpp"
#include "os/report.hpp"
#include "rebased_program.hpp"

namespace sluice::opencl {
namespace {

using device::opencl::BufferPlace;

cl_kernel note_kernel(cl_kernel kernel) {
  if (kernel == nullptr) return kernel;
  cl_context context = nullptr;
  driver().clGetKernelInfo(kernel, CL_KERNEL_CONTEXT, sizeof(context), &context, nullptr);
  if (auto known = objects().contexts.find(context)) {
    auto noted = std::make_shared<Kernel>(std::move(known));
    // Retained now: the program may release it while a kernel still runs.
    noted->program = objects().programs.find(program_of(kernel));
    objects().kernels.insert(kernel, std::move(noted));
  }
  return kernel;
}

// --- arguments -----------------------------------------------------------------------------------

Access declared_access(cl_kernel kernel, cl_uint index) {
  cl_kernel_arg_type_qualifier qualifier = 0;
  const cl_int status = driver().clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER,
                                                    sizeof(qualifier), &qualifier, nullptr);
  const bool is_const = status == CL_SUCCESS && (qualifier & CL_KERNEL_ARG_TYPE_CONST) != 0;
  return is_const ? Access::read : Access::write;
}

// The buffer that a kernel gets for a pointer, owned if it is a part of one.
cl_int buffer_for(const Allocation& allocation, const void* pointer, cl_mem& whole, cl_mem& part) {
  const BufferPlace place = allocation.buffers->find(Address::of(pointer));
  if (place.buffer == nullptr) return CL_INVALID_ARG_VALUE;
  if (place.offset == 0) {
    whole = place.buffer;
    return CL_SUCCESS;
  }
  const cl_buffer_region region{place.offset_in_whole, place.left};
  cl_int status = CL_SUCCESS;
  part = driver().clCreateSubBuffer(place.whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
  return part == nullptr ? status : CL_SUCCESS;
}

// `given`: the buffer.
cl_int set_buffer_argument(cl_kernel kernel, const Kernel& known, cl_uint index,
                           const Allocation& allocation, PointerArgument& argument, cl_mem& given) {
  cl_mem whole = nullptr;
  cl_int status = buffer_for(allocation, argument.pointer, whole, argument.part);
  argument.is_unplaced = status == CL_MISALIGNED_SUB_BUFFER_OFFSET;
  if (argument.is_unplaced && may_be_rebased(known))
    return driver().clSetKernelArg(kernel, index, sizeof(given), nullptr);
  if (argument.is_unplaced)
    os::report("argument %p: this device has buffers only, and none can begin at that pointer",
               argument.pointer);
  if (status != CL_SUCCESS) return CL_INVALID_ARG_VALUE;
  given = argument.part != nullptr ? argument.part : whole;
  status = driver().clSetKernelArg(kernel, index, sizeof(given), &given);
  if (status != CL_SUCCESS && argument.part != nullptr) driver().clReleaseMemObject(argument.part);
  return status;
}

void replace_argument(Kernel& known, cl_uint index, const PointerArgument* by) {
  cl_mem old = nullptr;
  {
    MutexLock lock(known.mutex);
    const auto found = known.pointers.find(index);
    if (found != known.pointers.end()) old = found->second.part;
    if (by != nullptr)
      known.pointers[index] = *by;
    else if (found != known.pointers.end())
      known.pointers.erase(found);
  }
  if (old != nullptr) driver().clReleaseMemObject(old);
}

// For kernels of the layer's own.
bool keeps_arguments(const Context& context) noexcept {
  return context.backend() == Backend::svm || context.rebases();
}

cl_int CL_API_CALL set_kernel_arg(cl_kernel kernel, cl_uint index, size_t size, const void* value) {
  const auto known = objects().kernels.find(kernel);
  if (known == nullptr) return driver().clSetKernelArg(kernel, index, size, value);
  // The driver must not read managed memory under its locks.
  std::vector<std::byte> copy;
  if (value != nullptr && known->context->moves() && known->context->find(value)) {
    copy.assign(static_cast<const std::byte*>(value), static_cast<const std::byte*>(value) + size);
    value = copy.data();
  }
  const cl_int status = driver().clSetKernelArg(kernel, index, size, value);
  if (status != CL_SUCCESS) return status;
  cl_mem buffer = nullptr;
  if (value != nullptr && size == sizeof(buffer)) std::memcpy(&buffer, value, size);
  if (const auto managed = find_managed_buffer(buffer)) {
    const PointerArgument argument{.pointer = managed->pointer,
                                   .access = declared_access(kernel, index),
                                   .size = managed->size};
    replace_argument(*known, index, &argument);
  } else {
    replace_argument(*known, index, nullptr);
  }
  if (keeps_arguments(*known->context)) {
    MutexLock lock(known->mutex);
    known->arguments.set_value(index, size, value);
  }
  return status;
}

// --- launching -----------------------------------------------------------------------------------

// The memory and arguments of one launch, read from the kernel at once.
struct Reach {
  std::vector<PointerArgument> pointers;
  std::vector<const void*> listed;
  TypeMask indirect = 0;
  KernelArguments arguments;
  bool is_unplaced = false;  // a pointer where no buffer can begin

  [[nodiscard]] bool is_indirect() const noexcept { return indirect != 0 || !listed.empty(); }
};

// CL_KERNEL_EXEC_INFO_SVM_INDIRECT_ACCESS_KHR is for the types with the capability, which device
// addresses have. Over buffers no type has it, and a program that sets the flag nevertheless is
// better refused than left to read wrong bytes.
TypeMask types_of_one_flag(const Context& context) noexcept {
  return context.device_memory() != nullptr ? type_bit(CL_MEM_TYPE_DEVICE_INTEL) : all_types;
}

Reach reach_of(Kernel& known) {
  MutexLock lock(known.mutex);
  Reach reach;
  for (const auto& [index, argument] : known.pointers) reach.pointers.push_back(argument);
  reach.listed = known.exec_info.listed;
  reach.indirect = known.exec_info.indirect;
  if (known.exec_info.reaches_all) reach.indirect |= types_of_one_flag(*known.context);
  reach.is_unplaced = std::any_of(known.pointers.begin(), known.pointers.end(),
                                  [](const auto& one) { return one.second.is_unplaced; });
  if (known.context->rebases() || known.arguments.need_new_kernel())
    reach.arguments = known.arguments;
  return reach;
}

// The origin of the pointers that a kernel follows; its program is analysed once for each kernel.
Pointers pointers_of(cl_kernel kernel, Kernel& known) {
  {
    MutexLock lock(known.mutex);
    if (known.follows) return *known.follows;
  }
  std::vector<ProgramPart> parts;
  if (known.program == nullptr) parts = parts_of(program_of(kernel), known.context->devices());
  const std::string name = name_of(kernel);
  const Pointers follows =
      pointers_of(known.program == nullptr ? parts : known.program->parts, name);
  MutexLock lock(known.mutex);
  known.follows = follows;
  return follows;
}

// True if indirect access may reach memory with a device address that differs from its pointer.
bool names_buffers(const Context& context, const Reach& reach) {
  const auto is_one = [](const Allocation& allocation) { return allocation.arena != nullptr; };
  const std::vector<Allocation> flagged = context.all(reach.indirect);
  return std::any_of(flagged.begin(), flagged.end(), is_one) ||
         std::any_of(reach.listed.begin(), reach.listed.end(), [&](const void* pointer) {
           const auto found = context.find(pointer);
           return found && is_one(*found);
         });
}

// True if a kernel must not run where pointers in memory mean nothing. A kernel declared indirect
// is believed unless its text rules that out; one that is not may still follow pointers inside its
// arguments' own allocations.
bool follows_buffers(cl_kernel kernel, Kernel& known, const Reach& reach) {
  const Context& context = *known.context;
  if (!context.has_buffers()) return false;
  if (reach.is_indirect() && names_buffers(context, reach))
    return pointers_of(kernel, known) != Pointers::from_arguments;
  const auto is_moving = [&](const PointerArgument& argument) {
    const auto found = context.find(argument.pointer);
    return found && found->arena != nullptr;
  };
  return std::any_of(reach.pointers.begin(), reach.pointers.end(), is_moving) &&
         pointers_of(kernel, known) == Pointers::in_memory;
}

// `rebased`: what came of rebasing it.
void report_refusal(cl_kernel kernel, Kernel& known, const char* rebased) {
  const char* const device =
      known.context->device_memory() == nullptr
          ? "this device has buffers only, where a pointer in memory means nothing"
          : "this device knows device allocations by their pointers and no others";
  const char* const why = pointers_of(kernel, known) == Pointers::in_memory
                              ? "it reads pointers from the memory of its arguments"
                              : "its program does not rule out that it follows one";
  os::report("kernel %s with indirect access is refused: %s, and %s%s%s", name_of(kernel).c_str(),
             device, why, *rebased == 0 ? "" : "; rebasing it failed: ", rebased);
}

// True if a kernel runs in its rebased program or not at all.
bool needs_rebasing(Kernel& known, const Reach& reach, bool follows) {
  if (!may_be_rebased(known)) return false;
  return follows || reach.is_unplaced || shares_with_followers(*known.program);
}

// The kernel to launch; its status is not CL_SUCCESS if there is none. `rebased`: it may follow any
// pointer.
LaunchedKernel launched_kernel(cl_kernel kernel, Kernel& known, const Reach& reach, bool& rebased) {
  const bool follows = follows_buffers(kernel, known, reach);
  rebased = needs_rebasing(known, reach, follows);
  if (rebased) {
    const Result<cl_kernel> own = rebased_kernel(kernel, known, reach.arguments);
    if (own) return {kernel, *own, CL_SUCCESS};
    report_refusal(kernel, known, own.error().detail().data());
    return {kernel, nullptr, CL_INVALID_OPERATION};
  }
  if (!follows) {
    const bool is_svm = known.context->backend() == Backend::svm;
    return {kernel, is_svm ? reach.arguments : KernelArguments()};
  }
  report_refusal(kernel, known, "");
  return {kernel, nullptr, CL_INVALID_OPERATION};
}

// The driver must be told of every allocation that a kernel may follow a pointer to
// (clSetKernelExecInfo).
cl_int tell_driver(cl_kernel kernel, const Context& context, const Reach& reach) {
  if (context.device_memory() != nullptr) return context.device_memory()->allow(kernel);
  std::vector<const void*> all;
  if (context.backend() == Backend::svm) {
    for (Arena* arena : context.arenas()) all.push_back(arena->svm());
  } else {
    all = reach.listed;
    for (const Allocation& allocation : context.all(reach.indirect))
      all.push_back(reinterpret_cast<void*>(  // NOLINT(performance-no-int-to-ptr)
          allocation.begin.value));
  }
  if (all.empty()) return CL_SUCCESS;
  return driver().clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS,
                                      all.size() * sizeof(void*), all.data());
}

void name_uses(const Context& context, const Reach& reach, Admission& admission,
               std::vector<Allocation>& used) {
  for (const PointerArgument& argument : reach.pointers) {
    if (const auto found = context.find(argument.pointer)) {
      const AddressSpan named = {Address::of(argument.pointer), argument.size};
      admission.use(*found, argument.size == 0 ? found->span() : named, argument.access);
      used.push_back(*found);
    }
  }
  for (const void* pointer : reach.listed) {
    if (const auto found = context.find(pointer)) {
      admission.use(*found, Access::write);
      used.push_back(*found);
    }
  }
}

// `call(kernel, event*)` is the driver's.
template <typename Call>
cl_int launch(cl_command_queue queue, cl_kernel kernel, cl_uint count, const cl_event* wait_list,
              cl_event* event, Call&& call) {
  const auto known_queue = objects().queues.find(queue);
  const auto known = objects().kernels.find(kernel);
  if (known_queue == nullptr || known == nullptr) return call(kernel, event);
  Context& context = *known_queue->context;
  const Reach reach = reach_of(*known);
  bool rebased = false;
  const LaunchedKernel launched = launched_kernel(kernel, *known, reach, rebased);
  if (launched.status() != CL_SUCCESS) return launched.status();
  if (reach.is_indirect() && context.backend() != Backend::buffers)
    if (const cl_int status = tell_driver(launched.get(), context, reach); status != CL_SUCCESS)
      return status;
  if (!context.moves()) return call(kernel, event);

  Admission admission(*known_queue);
  std::vector<Allocation> used;
  name_uses(context, reach, admission, used);
  if (rebased || (reach.indirect != 0 && context.backend() == Backend::svm))
    admission.use_everything();
  if (admission.is_empty()) return call(launched.get(), event);
  const std::vector<Allocation> homebound = homebound_after(context, used);
  return enqueue_admitted(admission, queue, count, wait_list, event, [&](cl_event* own) {
    const cl_int status = call(launched.get(), own);
    if (status == CL_SUCCESS) bring_home(context, homebound, *own);
    return status;
  });
}

cl_int CL_API_CALL enqueue_nd_range(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions,
                                    const size_t* offset, const size_t* global, const size_t* local,
                                    cl_uint count, const cl_event* wait_list, cl_event* event) {
  return launch(queue, kernel, count, wait_list, event, [&](cl_kernel launched, cl_event* own) {
    return driver().clEnqueueNDRangeKernel(queue, launched, dimensions, offset, global, local,
                                           count, wait_list, own);
  });
}

cl_int CL_API_CALL enqueue_task(cl_command_queue queue, cl_kernel kernel, cl_uint count,
                                const cl_event* wait_list, cl_event* event) {
  return launch(queue, kernel, count, wait_list, event, [&](cl_kernel launched, cl_event* own) {
    return driver().clEnqueueTask(queue, launched, count, wait_list, own);
  });
}

// --- objects -------------------------------------------------------------------------------------

cl_kernel CL_API_CALL create_kernel(cl_program program, const char* name, cl_int* error) {
  return note_kernel(driver().clCreateKernel(program, name, error));
}

cl_int CL_API_CALL create_kernels(cl_program program, cl_uint count, cl_kernel* kernels,
                                  cl_uint* count_ret) {
  cl_uint made = 0;
  const cl_int status = driver().clCreateKernelsInProgram(program, count, kernels, &made);
  if (count_ret != nullptr) *count_ret = made;
  for (cl_uint i = 0; status == CL_SUCCESS && kernels != nullptr && i < made; ++i)
    note_kernel(kernels[i]);
  return status;
}

cl_kernel CL_API_CALL clone_kernel(cl_kernel source, cl_int* error) {
  const cl_kernel kernel = note_kernel(driver().clCloneKernel(source, error));
  const auto from = objects().kernels.find(source);
  const auto to = kernel == nullptr ? nullptr : objects().kernels.find(kernel);
  if (from == nullptr || to == nullptr) return kernel;
  std::unordered_map<cl_uint, PointerArgument> pointers;
  KernelArguments arguments;
  ExecInfo exec_info;
  {
    MutexLock lock(from->mutex);
    pointers = from->pointers;
    arguments = from->arguments;
    exec_info = from->exec_info;
  }
  for (auto& [index, argument] : pointers)
    if (argument.part != nullptr) driver().clRetainMemObject(argument.part);
  MutexLock lock(to->mutex);
  to->pointers = std::move(pointers);
  to->arguments = std::move(arguments);
  to->exec_info = std::move(exec_info);
  return kernel;
}

cl_int CL_API_CALL retain_kernel(cl_kernel kernel) {
  if (const auto known = objects().kernels.find(kernel)) ++known->references;
  return driver().clRetainKernel(kernel);
}

cl_int CL_API_CALL release_kernel(cl_kernel kernel) {
  const auto known = objects().kernels.find(kernel);
  if (known != nullptr && --known->references == 0) objects().kernels.erase(kernel);
  return driver().clReleaseKernel(kernel);
}

}  // namespace

cl_int CL_API_CALL set_pointer_argument(cl_kernel kernel, cl_uint index, const void* pointer) {
  const auto known = objects().kernels.find(kernel);
  if (known == nullptr) return CL_INVALID_KERNEL;
  cl_uint arguments = 0;
  driver().clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(arguments), &arguments, nullptr);
  if (index >= arguments) return CL_INVALID_ARG_INDEX;
  PointerArgument argument{.pointer = pointer, .access = declared_access(kernel, index)};
  const auto found = known->context->find(pointer);
  cl_int status = CL_SUCCESS;
  cl_mem given = nullptr;
  if (!known->context->has_buffers()) {
    // Any pointer is valid as an argument (version 1.1.0 of the extension); it need not be one of
    // ours.
    status = driver().clSetKernelArgSVMPointer(kernel, index, pointer);
  } else if (found && found->arena != nullptr) {
    status = set_buffer_argument(kernel, *known, index, *found, argument, given);
  } else if (known->context->device_memory() != nullptr) {
    status = known->context->device_memory()->set_argument(kernel, index, pointer);
  } else {
    // Devices that have only buffers cannot use it; as a value it means nothing to them.
    if (pointer != nullptr)
      os::report(
          "argument %u: %p is no allocation of its context, and this device reaches no other "
          "memory: the kernel gets a null pointer",
          index, pointer);
    status = driver().clSetKernelArg(kernel, index, sizeof(cl_mem), nullptr);
  }
  if (status != CL_SUCCESS) return status;
  replace_argument(*known, index, found ? &argument : nullptr);
  if (keeps_arguments(*known->context)) {
    // Over buffers a pointer to no allocation became a null pointer.
    const bool is_kept = found || known->context->backend() == Backend::svm;
    MutexLock lock(known->mutex);
    known->arguments.set_pointer(index, is_kept ? pointer : nullptr, given);
  }
  return CL_SUCCESS;
}

void override_kernel_calls(Entries& entries) noexcept {
  entries.set<create_kernel>(&cl_icd_dispatch::clCreateKernel);
  entries.set<create_kernels>(&cl_icd_dispatch::clCreateKernelsInProgram);
  entries.set_if_there<clone_kernel>(&cl_icd_dispatch::clCloneKernel);
  entries.set<retain_kernel>(&cl_icd_dispatch::clRetainKernel);
  entries.set<release_kernel>(&cl_icd_dispatch::clReleaseKernel);
  entries.set<set_kernel_arg>(&cl_icd_dispatch::clSetKernelArg);
  entries.set<set_pointer_argument>(&cl_icd_dispatch::clSetKernelArgSVMPointer);
  entries.set<enqueue_nd_range>(&cl_icd_dispatch::clEnqueueNDRangeKernel);
  entries.set<enqueue_task>(&cl_icd_dispatch::clEnqueueTask);
}

}  // namespace sluice::opencl
