// FailingCalls: Linux, except that chosen calls fail. Replaces the environment, never the code
// under test.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <type_traits>

#include "os/calls.hpp"

namespace sluice::os {

// In force while it lives; one at a time.
class FailingCalls {
 public:
  // All entries of the table are function pointers, so an entry's place in it is its number.
  static constexpr std::size_t kinds = sizeof(Calls) / sizeof(void*);

  // Calls that give something back. Linux does not fail them for arguments that are right, and
  // there is nothing to be done if it did: making them fail would only leak what they were to free.
  [[nodiscard]] static bool releases(std::size_t kind) noexcept {
    return kind == number(&Calls::close) || kind == number(&Calls::munmap);
  }

  FailingCalls() noexcept {
    for (Kind& kind : state()) {
      kind.made = 0;
      kind.fail_at = 0;
      kind.fail_end = 0;
    }
    replace_calls(table());
  }
  ~FailingCalls() { replace_calls(linux_calls()); }
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;

  // Makes the n-th call from now (1: the next one) of a kind fail with `error`, and as many in all
  // as `count` says.
  void fail(std::size_t kind, int nth, int error, int count = 1) noexcept {
    Kind& entry = state()[kind];
    entry.error = error;
    entry.fail_at = entry.made + nth;
    entry.fail_end = entry.fail_at + count;
  }
  template <typename Function>
  void fail(Function Calls::* kind, int nth, int error, int count = 1) noexcept {
    fail(number(kind), nth, error, count);
  }

  [[nodiscard]] int made(std::size_t kind) const noexcept { return state()[kind].made; }
  template <typename Function>
  [[nodiscard]] int made(Function Calls::* kind) const noexcept {
    return made(number(kind));
  }

  template <typename Function>
  [[nodiscard]] static std::size_t number(Function Calls::* kind) noexcept {
    const Calls& calls = linux_calls();
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&(calls.*kind)) -
                                    reinterpret_cast<const std::byte*>(&calls)) /
           sizeof(void*);
  }

 private:
  struct Kind {
    std::atomic<int> made{0};
    std::atomic<int> fail_at{0};
    std::atomic<int> fail_end{0};
    std::atomic<int> error{0};
  };
  using State = std::array<Kind, kinds>;

  static State& state() noexcept {
    static State all;
    return all;
  }

  template <auto kind>
  struct Intercept;
  template <typename Value, typename... Arguments, Value (*Calls::*kind)(Arguments...)>
  struct Intercept<kind> {
    static Value call(Arguments... arguments) {
      Kind& entry = state()[number(kind)];
      const int made = ++entry.made;
      if (made < entry.fail_at || made >= entry.fail_end)
        return (linux_calls().*kind)(arguments...);
      errno = entry.error;
      if constexpr (std::is_pointer_v<Value>)
        return MAP_FAILED;
      else if constexpr (std::is_same_v<decltype(kind), decltype(&Calls::create_thread)>)
        return entry.error;
      else
        return -1;
    }
  };

  static const Calls& table() noexcept {
    static constexpr Calls failing = {
        .mmap = Intercept<&Calls::mmap>::call,
        .munmap = Intercept<&Calls::munmap>::call,
        .mprotect = Intercept<&Calls::mprotect>::call,
        .madvise = Intercept<&Calls::madvise>::call,
        .name_memory = Intercept<&Calls::name_memory>::call,
        .memfd_create = Intercept<&Calls::memfd_create>::call,
        .ftruncate = Intercept<&Calls::ftruncate>::call,
        .fallocate = Intercept<&Calls::fallocate>::call,
        .lseek = Intercept<&Calls::lseek>::call,
        .pwrite = Intercept<&Calls::pwrite>::call,
        .open = Intercept<&Calls::open>::call,
        .close = Intercept<&Calls::close>::call,
        .read = Intercept<&Calls::read>::call,
        .write = Intercept<&Calls::write>::call,
        .userfaultfd = Intercept<&Calls::userfaultfd>::call,
        .ioctl = Intercept<&Calls::ioctl>::call,
        .eventfd = Intercept<&Calls::eventfd>::call,
        .poll = Intercept<&Calls::poll>::call,
        .create_thread = Intercept<&Calls::create_thread>::call,
    };
    return failing;
  }
};

}  // namespace sluice::os
