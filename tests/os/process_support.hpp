// What tests ask of this process and of children.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "base/types.hpp"
#include "os/calls.hpp"

#if defined(__SANITIZE_THREAD__)
#define SLUICE_TEST_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLUICE_TEST_UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_TEST_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_TEST_UNDER_ASAN 1
#endif
#endif

namespace sluice::os {

#if defined(SLUICE_TEST_UNDER_TSAN)
constexpr bool under_thread_sanitizer = true;
#else
constexpr bool under_thread_sanitizer = false;
#endif
#if defined(SLUICE_TEST_UNDER_ASAN)
constexpr bool under_address_sanitizer = true;
#else
constexpr bool under_address_sanitizer = false;
#endif

namespace detail {

inline bool holds(const std::string& line, std::uintptr_t address) {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  char dash = 0;
  std::istringstream text(line);
  return (text >> std::hex >> begin >> dash >> end) && dash == '-' && begin <= address &&
         address < end;
}

// Kernels need not name mappings, so windows are recognised by their place (address_window.cc).
inline bool in_a_window(const std::string& line) {
  const std::uintptr_t begin = std::stoull(line, nullptr, 16);
  if (under_thread_sanitizer)
    return begin >= std::uintptr_t{128} << 30 && begin < std::uintptr_t{480} << 30;
  return begin >= std::uintptr_t{17} << 40 && begin < std::uintptr_t{80} << 40;
}

}  // namespace detail

// What a failed operation must give back.
struct Holdings {
  std::size_t descriptors = 0;
  std::size_t own_mappings = 0;  // of our memory files, and where our windows lie

  friend bool operator==(const Holdings&, const Holdings&) = default;
  friend void PrintTo(const Holdings& holdings, std::ostream* out) {
    *out << holdings.descriptors << " descriptors, " << holdings.own_mappings << " mappings";
  }
};
[[nodiscard]] inline Holdings holdings() {
  Holdings result;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++result.descriptors;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:sluice") != std::string::npos || detail::in_a_window(line))
      ++result.own_mappings;
  return result;
}

// The memory that a file of a tmpfs holds.
[[nodiscard]] inline std::size_t bytes_held(int file) {
  struct stat facts = {};
  ::fstat(file, &facts);
  return static_cast<std::size_t>(facts.st_blocks) * 512;
}

// Whether this kernel keeps names for anonymous mappings (CONFIG_ANON_VMA_NAME).
[[nodiscard]] inline bool mappings_have_names() {
  void* const page = ::mmap(nullptr, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool named = calls().name_memory(page, page_size, "trial") == 0;
  ::munmap(page, page_size);
  return named;
}

// The line of /proc/self/maps that holds an address, or "".
[[nodiscard]] inline std::string mapping_at(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (detail::holds(line, reinterpret_cast<std::uintptr_t>(address))) return line;
  return "";
}

// The VmFlags of the mapping that holds an address, as in /proc/self/smaps.
[[nodiscard]] inline std::string flags_at(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(':') && line.find(' ') > line.find('-'))
      here = detail::holds(line, reinterpret_cast<std::uintptr_t>(address));
    if (here && line.starts_with("VmFlags:")) return line.substr(8);
  }
  return "";
}

struct ChildEnd {
  int status = 0;      // as waitpid gives it
  std::string output;  // stderr

  [[nodiscard]] bool exited_with(int code) const {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
  }
  [[nodiscard]] bool killed_by(int signal) const {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
  }
};

// Forks; the child has SIGSEGV at its default, runs `body` and exits with what it gives back.
[[nodiscard]] inline ChildEnd run_forked(const std::function<int()>& body) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  struct sigaction by_default = {};
  struct sigaction before = {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGSEGV, &by_default, &before);  // sanitizers have a handler of their own
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(60);
    ::dup2(ends[1], STDERR_FILENO);
    ::_exit(body());
  }
  ::sigaction(SIGSEGV, &before, nullptr);
  ::close(ends[1]);
  ChildEnd end;
  char buffer[512];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    end.output.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  ::waitpid(child, &end.status, 0);
  return end;
}

}  // namespace sluice::os
