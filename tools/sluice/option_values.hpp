// Values of options that several verbs take: the grade, and sizes in bytes. An invalid value is
// refused with the valid ones.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <string>

#include "sluice/options.hpp"

namespace sluice::tool {

// The grade's name, "full", "user" or "signal".
CLI::Option* add_grade(CLI::App& verb, const std::string& names, Grade& value,
                       const std::string& description);

// A number of bytes from `least` to `most`, with or without a unit: 4096, 64KiB, 4MiB, 1.5GiB, 2G.
// Units are powers of 1024.
CLI::Option* add_size(CLI::App& verb, const std::string& name, std::size_t& value,
                      std::size_t least, std::size_t most, const std::string& description);

}  // namespace sluice::tool
