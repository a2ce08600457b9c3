// Shared parts of the verbs' reports: numbers for people, the machine that a result belongs to, and
// errors that end a verb.
#pragma once

#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "sluice/options.hpp"
#include "sluice/result.hpp"
#include "sluice/space.hpp"

namespace sluice::tool {

// Keeps its keys in the order of insertion, which is the order of the report.
using Json = nlohmann::ordered_json;

[[nodiscard]] std::string bytes_in_words(
    std::size_t bytes);  // "4 KiB", "1.5 MiB"; exact where that is short

// {"kernel", "cpus", "memory", "page_table_isolation"}: needed to compare figures.
[[nodiscard]] Json machine_facts();
// Prints one JSON document to stdout.
void print_json(const Json& document);

// A call that a verb cannot do without has failed. main prints the text.
struct CannotRun : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void cannot_run(const char* what, const Error& error);

// Returns the value, or ends the verb.
template <typename T>
T need(const char* what, Result<T> result) {
  if (!result) cannot_run(what, result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

[[nodiscard]] inline double seconds_between(std::chrono::steady_clock::time_point begin,
                                            std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace sluice::tool
