// proc_pid_syscall(5) has the instruction's and the stack's addresses of a thread that sleeps.
//
// The table of loaded code only grows, and a reader sees whole entries, so that the threads that
// answer accesses read it without a lock. Code that was unloaded stays in it, which is harmless.
// What it does not do: unwind the stack. Behind a C library's function the nearest address on the
// stack that is code of the program counts as the caller, and an older one may lie nearer.
#include "os/access_code.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"

namespace sluice::os {
namespace {

struct Code {
  std::uintptr_t begin;
  std::uintptr_t end;
};

constexpr std::size_t most_code = 512;
std::array<Code, most_code> code_of_program;
std::atomic<std::size_t> count_of_code{0};
std::atomic_flag is_noting;

// They access memory for others.
bool is_for_others(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  const char* const file = slash == nullptr ? path : slash + 1;
  for (const char* name :
       {"libc.", "libc-", "libstdc++.", "libpthread", "ld-", "libsluice", "linux-vdso"})
    if (std::strncmp(file, name, std::strlen(name)) == 0) return true;
  return false;
}

bool is_of_program(std::uintptr_t address) noexcept {
  const std::size_t count = count_of_code.load(std::memory_order_acquire);
  return std::any_of(code_of_program.begin(), code_of_program.begin() + count,
                     [=](const Code& code) { return address >= code.begin && address < code.end; });
}

int note_object(dl_phdr_info* object, std::size_t /*size*/, void* /*nothing*/) {
  if (is_for_others(object->dlpi_name)) return 0;
  for (std::size_t i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    const std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
    const std::size_t count = count_of_code.load(std::memory_order_relaxed);
    if (is_of_program(begin) || count == most_code) continue;
    code_of_program[count] = {begin, begin + segment.p_memsz};
    count_of_code.store(count + 1, std::memory_order_release);
  }
  return 0;
}

// The nearest address of the program's code on a stack; 0: none.
std::uintptr_t caller_on(std::uintptr_t stack) noexcept {
  constexpr std::size_t page = 4096;
  std::array<std::uintptr_t, 512> words{};
  // By the kernel: the stack may end, and its owner may go on.
  iovec to{words.data(), sizeof words};
  const std::size_t here = page - stack % page;
  const std::array<iovec, 2> from{{{reinterpret_cast<void*>(stack), here},
                                   {reinterpret_cast<void*>(stack + here), page - here}}};
  const ssize_t size = ::process_vm_readv(::getpid(), &to, 1, from.data(), here < page ? 2 : 1, 0);
  const auto count = static_cast<std::size_t>(std::max<ssize_t>(size, 0)) / sizeof words[0];
  auto* const end = words.begin() + count;
  auto* const found = std::find_if(words.begin(), end, is_of_program);
  return found == end ? 0 : *found - 1;  // in the call, not behind it
}

}  // namespace

void note_loaded_code() noexcept {
  if (is_noting.test_and_set(std::memory_order_acquire)) return;
  ::dl_iterate_phdr(note_object, nullptr);
  is_noting.clear(std::memory_order_release);
}

std::uintptr_t access_code(std::int32_t thread) noexcept {
  char text[256];
  std::snprintf(text, sizeof text, "/proc/self/task/%d/syscall", thread);
  OwnedFd file;
  {
    const NewDescriptors making;
    file = OwnedFd(::open(text, O_RDONLY | O_CLOEXEC));
  }
  if (!file.is_open()) return 0;
  const ssize_t size = ::read(file.get(), text, sizeof text - 1);
  text[std::max<ssize_t>(size, 0)] = 0;
  char* const last = std::strrchr(text, ' ');
  if (last == nullptr) return 0;
  *last = 0;
  const char* const before = std::strrchr(text, ' ');
  if (before == nullptr) return 0;
  const std::uintptr_t code = std::strtoull(last + 1, nullptr, 16);
  if (is_of_program(code)) return code;
  const std::uintptr_t caller = caller_on(std::strtoull(before + 1, nullptr, 16));
  return caller == 0 ? code : caller;
}

std::string describe_code(std::uintptr_t code) {
  Dl_info info{};
  char text[64];
  if (::dladdr(reinterpret_cast<void*>(code), &info) == 0 || info.dli_fname == nullptr) {
    std::snprintf(text, sizeof text, "%#zx", static_cast<std::size_t>(code));
    return text;
  }
  std::snprintf(text, sizeof text, "+%#zx",
                static_cast<std::size_t>(code - reinterpret_cast<std::uintptr_t>(info.dli_fbase)));
  std::string place = info.dli_fname;
  if (place.front() != '/') {  // the program, as it was started, or a library by a relative path
    char whole[PATH_MAX];
    const bool is_library =
        place.find('/') != std::string::npos && ::realpath(place.c_str(), whole) != nullptr;
    const ssize_t length = is_library ? static_cast<ssize_t>(std::strlen(whole))
                                      : ::readlink("/proc/self/exe", whole, sizeof whole);
    if (length > 0) place.assign(whole, static_cast<std::size_t>(length));
  }
  place += text;
  if (info.dli_sname != nullptr) place += std::string(" (") + info.dli_sname + ")";
  return place;
}

}  // namespace sluice::os
