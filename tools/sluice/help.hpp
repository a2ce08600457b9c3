// Help: the layout of `--help`, for every verb.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>

namespace sluice::tool {

[[nodiscard]] std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace sluice::tool
