// Verb: what the first word after `sluice` does. Each verb declares its options in its own file and names the function that
// main calls once the whole command line has been read and found good.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace sluice::tool {

// What the process ends with. Scripts may rely on these.
enum class Exit : int {
  good = 0,
  found_wrong = 1,   // it ran, and what it looked at is not as it should be
  bad_command = 2,   // the command line makes no sense; nothing was done
  could_not_run = 3  // this machine or process refused something that the verb needs
};

using Run = std::function<Exit()>;

// Each declares a verb; parsing it sets `chosen`.
void add_demo(CLI::App& app, Run& chosen);
void add_doctor(CLI::App& app, Run& chosen);
void add_stress(CLI::App& app, Run& chosen);
void add_bench(CLI::App& app, Run& chosen);
void add_run(CLI::App& app, Run& chosen);

}  // namespace sluice::tool
