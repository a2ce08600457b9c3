// Shared parts of the verbs' reports: numbers for people, the machine that a result belongs to, and
// errors that end a verb.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "program/need.hpp"
#include "program/text.hpp"
#include "sluice/options.hpp"
#include "sluice/result.hpp"
#include "sluice/space.hpp"

namespace sluice::tool {

// Keeps its keys in the order of insertion, which is the order of the report.
using Json = nlohmann::ordered_json;

// {"kernel", "cpus", "memory", "page_table_isolation"}: needed to compare figures.
[[nodiscard]] Json machine_facts();
// Prints one JSON document to stdout.
void print_json(const Json& document);

// main prints the text of CannotRun, which ends a verb.
using program::bytes_in_words;
using program::CannotRun;
using program::need;

[[nodiscard]] inline double seconds_between(std::chrono::steady_clock::time_point begin,
                                            std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace sluice::tool
