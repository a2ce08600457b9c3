// The processes of a round of chaos: the program, its devices, its forked children and the programs
// that these execute. All carry the round's mark in their environment, which processes inherit, so
// they are found however they were started and reparented.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::stress {

// The name of the variable; its value is the round's mark.
inline constexpr const char* mark_variable = "SLUICE_STRESS_ROUND";

struct Process {
  pid_t id = 0;
  std::string name;  // as /proc/ID/comm has it: at most 15 bytes
  char state = '?';  // as in proc(5); Z has ended
};

// The live processes with the mark. Takes a few milliseconds.
[[nodiscard]] std::vector<Process> processes_of_round(const std::string& mark);
// The same, devices only.
[[nodiscard]] std::vector<pid_t> devices_of_round(const std::string& mark);

}  // namespace sluice::stress
