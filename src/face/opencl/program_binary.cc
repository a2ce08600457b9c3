// The end of a binary: for each part the sizes of its three texts and the texts, then the size of
// all that, then a mark. It is found from behind, as the driver's bytes have no known format.
//
// Costs the size of the texts in each binary. A driver that is given such a binary without the
// layer finds unknown bytes behind its own: it ignores them or refuses the binary, as it refuses
// one of another version, and programs are prepared for that.
#include "program_binary.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace sluice::opencl {
namespace {

constexpr std::array<char, 16> mark = {"sluice texts 1\n"};

void put(std::vector<std::byte>& to, const void* from, std::size_t size) {
  const auto* const first = static_cast<const std::byte*>(from);
  to.insert(to.end(), first, first + size);
}

void put_size(std::vector<std::byte>& to, std::uint64_t size) { put(to, &size, sizeof(size)); }

// Takes bytes from the front; what is not there makes all further answers empty.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}

  [[nodiscard]] bool at_end() const noexcept { return left_.empty(); }
  [[nodiscard]] bool is_whole() const noexcept { return is_whole_; }

  std::span<const std::byte> take(std::uint64_t size) {
    is_whole_ = is_whole_ && size <= left_.size();
    if (!is_whole_) left_ = {};
    const auto taken = left_.first(is_whole_ ? static_cast<std::size_t>(size) : 0);
    left_ = left_.subspan(taken.size());
    return taken;
  }
  std::uint64_t take_size() {
    std::uint64_t size = 0;
    const auto bytes = take(sizeof(size));
    if (!bytes.empty()) std::memcpy(&size, bytes.data(), sizeof(size));
    return size;
  }

 private:
  std::span<const std::byte> left_;
  bool is_whole_ = true;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::vector<std::byte> end_of_binary(const std::vector<ProgramPart>& parts) {
  std::vector<std::byte> end;
  for (const ProgramPart& part : parts) {
    if (part.source.empty() && part.il.empty()) return {};
    for (const std::size_t size : {part.source.size(), part.options.size(), part.il.size()})
      put_size(end, size);
    put(end, part.source.data(), part.source.size());
    put(end, part.options.data(), part.options.size());
    put(end, part.il.data(), part.il.size());
  }
  if (parts.empty()) return {};
  put_size(end, end.size());
  put(end, mark.data(), mark.size());
  return end;
}

std::optional<ReadBinary> read_binary(std::span<const std::byte> binary) {
  std::uint64_t size = 0;
  constexpr std::size_t last = sizeof(size) + mark.size();
  if (binary.size() < last) return std::nullopt;
  const auto end = binary.last(last);
  if (std::memcmp(end.data() + sizeof(size), mark.data(), mark.size()) != 0) return std::nullopt;
  std::memcpy(&size, end.data(), sizeof(size));
  if (size > binary.size() - last) return std::nullopt;

  ReadBinary read;
  read.driver_size = binary.size() - last - static_cast<std::size_t>(size);
  Reader texts(binary.subspan(read.driver_size, static_cast<std::size_t>(size)));
  while (!texts.at_end()) {
    const std::uint64_t source = texts.take_size();
    const std::uint64_t options = texts.take_size();
    const std::uint64_t il = texts.take_size();
    ProgramPart part;
    part.source = text_of(texts.take(source));
    part.options = text_of(texts.take(options));
    const auto module = texts.take(il);
    part.il.assign(module.begin(), module.end());
    read.parts.push_back(std::move(part));
  }
  if (!texts.is_whole()) return std::nullopt;
  return read;
}

}  // namespace sluice::opencl
