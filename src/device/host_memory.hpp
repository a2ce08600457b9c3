// HostMemory: a back end's view of the host's bytes of a space.
#pragma once

#include <cstddef>
#include <functional>

#include "base/types.hpp"

namespace sluice::device {

// Host memory that devices may reach: the whole memory file of a space, mapped once.
struct HostMemory {
  int file = -1;               // the memory file; offset = managed address - window.begin
  std::byte* alias = nullptr;  // the alias view of the byte at window.begin
  AddressSpan window;
  // The file that holds the bytes at an address (huge pages are in a second one). Empty: `file`
  // holds all. Called on fault-handler threads too. The bytes of one command lie in one file.
  std::function<int(Address)> file_at;
  std::function<bool()> is_intact;  // whether the program has left `file` open; none: it has
  std::function<AddressSpan(Address)> view_at;  // its range's pages. Empty: all is mapped
  // Makes the memory of a block, or the part of one that a range has, ready to be registered: in
  // large pages where those are in force. A hint: it may do nothing. Called on fault-handler
  // threads too. Empty: it is left to the driver.
  std::function<void(AddressSpan)> populate;
  // The end of the window, where the ranges of Kind::host are. A back end that needs addresses for
  // itself does not take them here.
  AddressSpan host_zone;
};

}  // namespace sluice::device
