// EventFiles: the files of SMI_EVENTS, by which programs follow what happens on a GPU.
//
// A program writes 8 bytes, a bit for each event, and reads lines. Such a file is one end of a
// socket pair, so that read(), write() and poll() of it need no help. Lines for which it has no
// room, because nobody reads, are lost, as in Linux beyond 1 KiB.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "os/owned_fd.hpp"

namespace sluice::kfd {

class EventFiles {
 public:
  // The program's descriptor, or a negative errno.
  [[nodiscard]] int open(int gpu);
  void tell(int gpu, std::uint32_t event, std::string_view line) noexcept;

 private:
  struct Follower {
    int gpu = -1;
    std::uint64_t mask = 0;
    os::OwnedFd file;  // our end
  };
  // Takes the masks that the program has written. False: its end is closed.
  [[nodiscard]] static bool read_masks(Follower& follower) noexcept;

  std::vector<Follower> followers_;
};

}  // namespace sluice::kfd
