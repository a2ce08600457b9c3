// Writes a shared library of one page: a header, a symbol table without symbols, the names, and
// what the dynamic linker is to load. A compiler is not needed, and nothing in it depends on the
// driver's version.
//
// The file stays: programs that the program starts later find it by the same LD_PRELOAD.
#include "cuda_front.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/core.h>
#include <link.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>

#include "os/environment.hpp"
#include "own_folder.hpp"
#include "report.hpp"

namespace sluice::tool {
namespace {

constexpr const char* name_of_driver = "libcuda.so.1";

struct Image {
  ElfW(Ehdr) header;
  std::array<ElfW(Phdr), 3> segments;
  std::array<ElfW(Dyn), 8> dynamic;
  ElfW(Sym) no_symbol;
};

// All offsets are addresses too: one segment has everything.
std::string image_of(const std::filesystem::path& face, const std::filesystem::path& driver) {
  std::string names(1, '\0');
  const auto add = [&](const std::string& name) {
    const std::size_t at = names.size();
    names += name + '\0';
    return at;
  };
  const std::size_t soname = add(name_of_driver);
  const std::size_t first = add(face.string());
  const std::size_t second = add(driver.string());

  Image image{};
  const std::size_t size = sizeof image + names.size();
  ElfW(Ehdr)& header = image.header;
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
#ifdef __x86_64__
  header.e_machine = EM_X86_64;
#else
  header.e_machine = EM_AARCH64;
#endif
  header.e_version = EV_CURRENT;
  header.e_phoff = offsetof(Image, segments);
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(ElfW(Phdr));
  header.e_phnum = static_cast<ElfW(Half)>(image.segments.size());

  const auto segment = [](ElfW(Word) type, std::size_t offset, std::size_t length) {
    ElfW(Phdr) made{};
    made.p_type = type;
    made.p_flags = PF_R | PF_W;  // the dynamic linker writes into the dynamic section
    made.p_offset = made.p_vaddr = made.p_paddr = offset;
    made.p_filesz = made.p_memsz = length;
    made.p_align = type == PT_LOAD ? 0x1000 : 8;
    return made;
  };
  image.segments = {segment(PT_LOAD, 0, size),
                    segment(PT_DYNAMIC, offsetof(Image, dynamic), sizeof image.dynamic),
                    segment(PT_GNU_STACK, 0, 0)};
  const auto entry = [](ElfW(Sxword) tag, std::size_t value) {
    ElfW(Dyn) made{};
    made.d_tag = tag;
    made.d_un.d_val = value;
    return made;
  };
  image.dynamic = {entry(DT_SONAME, soname),
                   entry(DT_NEEDED, first),
                   entry(DT_NEEDED, second),
                   entry(DT_STRTAB, sizeof image),
                   entry(DT_STRSZ, names.size()),
                   entry(DT_SYMTAB, offsetof(Image, no_symbol)),
                   entry(DT_SYMENT, sizeof image.no_symbol),
                   entry(DT_NULL, 0)};
  return std::string(reinterpret_cast<const char*>(&image), sizeof image) + names;
}

bool has_content(const std::filesystem::path& file, const std::string& content) {
  std::ifstream in(file, std::ios::binary);
  return in && std::string(std::istreambuf_iterator<char>(in), {}) == content;
}

}  // namespace

std::filesystem::path find_cuda_driver() {
  void* const driver = ::dlopen(name_of_driver, RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr)
    throw CannotRun(fmt::format("there is no CUDA driver here: {}", ::dlerror()));
  const link_map* map = nullptr;
  if (::dlinfo(driver, RTLD_DI_LINKMAP, static_cast<void*>(&map)) != 0)
    throw CannotRun(fmt::format("the CUDA driver's path cannot be asked: {}", ::dlerror()));
  return std::filesystem::canonical(map->l_name);
}

std::filesystem::path make_cuda_front(const std::filesystem::path& face,
                                      const std::filesystem::path& driver) {
  const char* const managed = os::environment("SLUICE_CUDA_MANAGED");
  if (managed != nullptr && std::strcmp(managed, "driver") != 0)
    throw CannotRun(fmt::format("SLUICE_CUDA_MANAGED={}; it is driver, or is not set", managed));
  const std::string content = image_of(face, driver);
  const std::filesystem::path folder =
      own_folder() / fmt::format("cuda-{:016x}", std::hash<std::string>()(content));
  const std::filesystem::path front = folder / name_of_driver;
  make_own(folder.parent_path());
  make_own(folder);
  if (has_content(front, content)) return front;
  // Another process may do the same.
  const std::filesystem::path made = folder / fmt::format("{}.{}", name_of_driver, ::getpid());
  {
    std::ofstream out(made, std::ios::binary);
    out << content;
  }
  std::error_code error;
  std::filesystem::rename(made, front, error);
  if (!has_content(front, content))
    throw CannotRun(fmt::format("cannot write {}: {}", front.string(), std::strerror(errno)));
  return front;
}

}  // namespace sluice::tool
