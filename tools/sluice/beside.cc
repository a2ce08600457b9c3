// lib lies beside bin, both as installed and as built.

#include "beside.hpp"

#include "os/program_files.hpp"
#include "report.hpp"

namespace sluice::tool {

std::filesystem::path this_program() {
  const auto file = os::own_file();
  if (!file) throw CannotRun(std::string(file.error().detail()));
  return *file;
}

std::filesystem::path library_beside(const std::string& name) {
  const std::filesystem::path tool = this_program();
  for (const char* folder : {"lib", "lib64"}) {
    auto found = tool.parent_path().parent_path() / folder / ("lib" + name + ".so");
    if (std::filesystem::exists(found)) return found;
  }
  throw CannotRun("there is no lib" + name + ".so in ../lib of " + tool.string() +
                  "\nTry: cmake --build . --target " + name + ", or install Sluice anew");
}

}  // namespace sluice::tool
