// What the coarse-grain driver asks its device's process, over a socket: one request, one answer,
// in order.
//
// The driver stands for those whose device has memory of its own at the addresses that the program
// uses (NVIDIA's): the process maps the device's memory there, so a kernel that runs in it sees
// nothing of what the program has at the same pointer.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace coarse {

enum class Ask : std::uint32_t { info, map, unmap, build, kernel, launch };

// Memory of the device.
struct Stretch {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

// A list of values in a row. Both ends know their order.
class Message {
 public:
  template <typename T>
  Message& put(const T& value) {
    const char* const begin = reinterpret_cast<const char*>(&value);
    bytes_.insert(bytes_.end(), begin, begin + sizeof(T));
    return *this;
  }
  Message& put(const std::string& text) {
    put(static_cast<std::uint64_t>(text.size()));
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  template <typename T>
  T get() {
    T value{};
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string text() {
    const auto size = get<std::uint64_t>();
    std::string found(bytes_.data() + at_, size);
    at_ += size;
    return found;
  }

  // False when the other end is gone.
  bool send(int socket) const {
    const std::uint64_t size = bytes_.size();
    return all(socket, const_cast<std::uint64_t*>(&size), sizeof(size), true) &&
           all(socket, const_cast<char*>(bytes_.data()), bytes_.size(), true);
  }
  bool receive(int socket) {
    std::uint64_t size = 0;
    if (!all(socket, &size, sizeof(size), false)) return false;
    bytes_.resize(size);
    at_ = 0;
    return all(socket, bytes_.data(), size, false);
  }

 private:
  static bool all(int socket, void* data, std::size_t size, bool out) {
    auto* at = static_cast<char*>(data);
    while (size != 0) {
      const ssize_t done = out ? ::write(socket, at, size) : ::read(socket, at, size);
      if (done <= 0) return false;
      at += done;
      size -= static_cast<std::size_t>(done);
    }
    return true;
  }
  std::vector<char> bytes_;
  std::size_t at_ = 0;
};

}  // namespace coarse
