// See stress_chaos_access.hpp. An access that faults outside load() and store() ends the process,
// as it would without this file.

#include "stress_chaos_access.hpp"

#include <signal.h>

#include <csetjmp>
#include <cstring>
#include <initializer_list>

namespace sluice::tool::stress {
namespace {

thread_local sigjmp_buf landing_place;
thread_local volatile sig_atomic_t may_die = 0;

void land(int signal) {
  if (may_die != 0) siglongjmp(landing_place, 1);
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
  action.sa_handler = land;
  for (const int signal : {SIGSEGV, SIGBUS}) sigaction(signal, &action, nullptr);
}

bool load(std::byte* to, const std::byte* managed, std::size_t size) noexcept {
  return copy(to, managed, size);
}

bool store(std::byte* managed, const std::byte* from, std::size_t size) noexcept {
  return copy(managed, from, size);
}

}  // namespace sluice::tool::stress
