// Asks addr2line, once for each file.
//
// Cost: reading a file's debug information, tenths of a second. What it does not do: look in other
// places for a file that has changed since, whose lines would be wrong.

#include "report/source_lines.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

namespace sluice::tool::report {
namespace {

struct Place {
  std::string text;
  std::string file;
  std::uint64_t offset = 0;
};

bool parse(const std::string& text, Place& place) {
  const std::size_t plus = text.rfind("+0x");
  if (text.empty() || text.front() != '/' || plus == std::string::npos) return false;
  place = {text, text.substr(0, plus), std::strtoull(text.c_str() + plus + 1, nullptr, 16)};
  return true;
}

// A program at a fixed address has lines by addresses, all others by offsets.
std::uint64_t fixed_address(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  Elf64_Ehdr head{};
  stream.read(reinterpret_cast<char*>(&head), sizeof head);
  if (!stream || head.e_type != ET_EXEC) return 0;
  for (int i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment{};
    stream.seekg(static_cast<std::streamoff>(head.e_phoff + i * sizeof segment));
    stream.read(reinterpret_cast<char*>(&segment), sizeof segment);
    if (stream && segment.p_type == PT_LOAD) return segment.p_vaddr;
  }
  return 0;
}

std::string quoted(const std::string& file) {
  std::string text = "'";
  for (const char c : file) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Code of headers is inlined into a line of the program, which is the one to show.
bool is_header_of_others(const std::string& where) {
  for (const char* part : {"/include/sluice/", "/usr/include/", "/usr/lib/gcc"})
    if (where.find(part) != std::string::npos) return true;
  return false;
}

// addr2line prints the address, and then function and "file:line" from the innermost inlined
// function outwards.
void ask(const std::vector<Place>& places, std::map<std::string, std::string>& lines) {
  std::string command = "addr2line -a -i -f -C -e " + quoted(places.front().file);
  const std::uint64_t base = fixed_address(places.front().file);
  for (const Place& place : places) {
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), " %#lx", place.offset + base);
    command += number.data();
  }
  command += " 2>/dev/null </dev/null";
  const auto close = [](std::FILE* pipe) { ::pclose(pipe); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(
      ::popen(command.c_str(), "r"), close);  // NOLINT(cert-env33-c): the file's name is quoted
  if (pipe == nullptr) return;
  std::array<char, 4096> line{};
  const auto read = [&]() -> std::string {
    if (std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return {};
    std::string text = line.data();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  };
  auto place = places.begin();
  bool is_answered = false;
  bool is_first = true;
  for (std::string function = read(); !function.empty(); function = read()) {
    if (function.starts_with("0x")) {
      if (!std::exchange(is_first, false)) ++place;
      is_answered = false;
      continue;
    }
    std::string where = read();
    if (place == places.end()) continue;
    if (is_answered) {  // it is inlined into this one, and addr2line then tells a wrong function
      std::string& told = lines[place->text];
      told.resize(std::min(told.find(','), told.size()));
      continue;
    }
    if (const std::size_t extra = where.find(" (discriminator"); extra != std::string::npos)
      where.resize(extra);
    if (where.empty() || where.find('?') != std::string::npos || is_header_of_others(where))
      continue;
    if (const std::size_t arguments = function.rfind('(');
        arguments != std::string::npos && arguments != 0)
      function.resize(arguments);
    lines[place->text] = base_name(where) + ", in " + function;
    is_answered = true;
  }
}

}  // namespace

std::map<std::string, std::string> source_lines(const std::set<std::string>& places) {
  std::map<std::string, std::string> lines;
  std::map<std::string, std::vector<Place>> files;
  for (const std::string& text : places) {
    lines[text] = text;
    if (Place place; parse(text, place)) files[place.file].push_back(place);
  }
  for (const auto& [file, in_file] : files) ask(in_file, lines);
  return lines;
}

}  // namespace sluice::tool::report
