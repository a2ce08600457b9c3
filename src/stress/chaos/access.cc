// See stress/chaos/access.hpp. An access that faults outside load() and store() ends the process,
// as it would without this file.

#include "stress/chaos/access.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <initializer_list>

namespace sluice::stress {
namespace {

thread_local sigjmp_buf landing_place;
thread_local volatile sig_atomic_t may_die = 0;

struct Death {
  int signal = 0;
  int code = 0;
  const void* address = nullptr;
};
thread_local Death death;

std::string mapping_at(const void* address) {
  const auto place = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2 && begin <= place && place < end)
      return line;
  }
  return "none";
}

void land(int signal, siginfo_t* info, void* context) {
  if (may_die != 0) {
    death = {signal, info->si_code, info->si_addr};
    siglongjmp(landing_place, 1);
  }
  // The program is lost; its last words say where to look.
  char text[120];
  const auto code = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  const int length =
      std::snprintf(text, sizeof text, "sluice stress: the code at %#llx has no access to %p\n",
                    static_cast<unsigned long long>(code), info->si_addr);
  [[maybe_unused]] const auto written =
      ::write(STDERR_FILENO, text, static_cast<std::size_t>(length));
  ::signal(signal, SIG_DFL);  // made again, the access ends the process
}

// A frame without destructors, and without variables that change, between the jump and its target.
[[gnu::noinline]] bool copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (sigsetjmp(landing_place, 1) != 0) {
    may_die = 0;
    return false;
  }
  may_die = 1;
  std::memcpy(to, from, size);
  may_die = 0;
  return true;
}

}  // namespace

void catch_dying_accesses() noexcept {
  struct sigaction action{};
  action.sa_sigaction = land;
  action.sa_flags = SA_SIGINFO;
  for (const int signal : {SIGSEGV, SIGBUS}) sigaction(signal, &action, nullptr);
}

bool load(std::byte* to, const std::byte* managed, std::size_t size) noexcept {
  return copy(to, managed, size);
}

bool store(std::byte* managed, const std::byte* from, std::size_t size) noexcept {
  return copy(managed, from, size);
}

std::string last_death() {
  return fmt::format("signal {}, code {}, at {}; the mapping there: {}", death.signal, death.code,
                     fmt::ptr(death.address), mapping_at(death.address));
}

}  // namespace sluice::stress
