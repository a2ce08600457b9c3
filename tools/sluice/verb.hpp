// Verb: the action of the first word after `sluice`. Each verb declares its options in its own file
// and names the function that main calls once the whole command line has been parsed and validated.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

#include "exit.hpp"

namespace sluice::tool {

using Run = std::function<Exit()>;

// Each declares a verb; parsing it sets `chosen`.
void add_demo(CLI::App& app, Run& chosen);
void add_doctor(CLI::App& app, Run& chosen);
void add_stress(CLI::App& app, Run& chosen);
void add_bench(CLI::App& app, Run& chosen);
void add_run(CLI::App& app, Run& chosen);
void add_trace(CLI::App& app, Run& chosen);
void add_report(CLI::App& app, Run& chosen);
void add_top(CLI::App& app, Run& chosen);
void add_kfd(CLI::App& app, Run& chosen);

}  // namespace sluice::tool
