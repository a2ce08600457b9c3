// The contract of /dev/kfd in rules that a program can try, by plain ioctls and without any fault.
#pragma once

#include <span>
#include <string>

#include "kfd/machine.hpp"

namespace sluice::tool::kfd_contract {

// Notes what a rule's calls answered.
class Trial {
 public:
  // An answer that the rule demands.
  template <typename T>
  void expect(const char* what, T answered, T demanded) {
    if (answered != demanded && wrong_.empty())
      note(what, static_cast<long long>(answered), static_cast<long long>(demanded));
  }
  // Empty: the rule was held. Else the first answer that was not as it demands.
  [[nodiscard]] const std::string& wrong() const noexcept { return wrong_; }

 private:
  void note(const char* what, long long answered, long long demanded);
  std::string wrong_;
};

struct Rule {
  const char* name;    // a sentence
  const char* source;  // Linux 6.1: file and function
  std::uint32_t gpus;  // that it needs
  void (*run)(Machine& machine, Trial& trial);
};

[[nodiscard]] std::span<const Rule> rules_of_memory() noexcept;    // memory_rules.cc
[[nodiscard]] std::span<const Rule> rules_of_sharing() noexcept;   // sharing_rules.cc
[[nodiscard]] std::span<const Rule> rules_of_the_rest() noexcept;  // other_rules.cc

}  // namespace sluice::tool::kfd_contract
