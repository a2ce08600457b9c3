// dlopen(): a program that opens the driver by another of its names gets the same library as by
// libcuda.so.1, which is the front that `sluice run --cuda` preloads.
//
// The C library's dlopen() looks where its caller lies (RUNPATH, namespaces). So this one jumps
// there and leaves no frame. What it does not do: hook dlsym(), which every library that resolves
// names by itself would fight over.
#include <dlfcn.h>

#include <cstring>

namespace sluice::cuda {
namespace {

extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];  // NOLINT
extern "C" __attribute__((visibility("hidden"))) const char _end[];          // NOLINT

bool is_driver(const char* name) noexcept {
  const char* const slash = std::strrchr(name, '/');
  const char* const file = slash != nullptr ? slash + 1 : name;
  return std::strncmp(file, "libcuda.so", 10) == 0 && (file[10] == 0 || file[10] == '.');
}

}  // namespace

using Opening = void*(const char*, int);

// The name that is opened instead. Sluice's own calls mean what they say.
extern "C" __attribute__((visibility("hidden"), used)) const char* sluice_cuda_opened(
    const char* name, const char* caller) noexcept {
  const bool own = caller >= __ehdr_start && caller < _end;
  return own || name == nullptr || !is_driver(name) ? name : "libcuda.so.1";
}

extern "C" __attribute__((visibility("hidden"), used)) Opening* sluice_cuda_opening() noexcept {
  static auto* const next = reinterpret_cast<Opening*>(::dlsym(RTLD_NEXT, "dlopen"));
  return next;
}

}  // namespace sluice::cuda

#ifdef __x86_64__
asm(R"(
  .text
  .globl dlopen
  .type dlopen, @function
dlopen:
  .cfi_startproc
  endbr64
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  movq 8(%rsp), %rsi
  call sluice_cuda_opened
  pushq %rax
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  call sluice_cuda_opening
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  jmp *%rax
  .cfi_endproc
  .size dlopen, .-dlopen
)");
#else
extern "C" __attribute__((visibility("default"))) void* dlopen(const char* name, int flags) {
  const auto* const caller = static_cast<const char*>(__builtin_return_address(0));
  return sluice::cuda::sluice_cuda_opening()(sluice::cuda::sluice_cuda_opened(name, caller), flags);
}
#endif
