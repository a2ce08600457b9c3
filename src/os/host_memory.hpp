// HostMemory: the bytes of a whole space in host memory, mapped twice.
//
// One sparse memory file holds them; the byte of a managed address is at `address - window.begin`.
// Where the machine allows it, the file is on a private tmpfs, which has huge pages without any
// setting (private_tmpfs.hpp); otherwise it is a memfd.
// The **application view** lies at the managed addresses themselves and is what programs touch. The
// **alias view** lies elsewhere; only the engine and copy engines touch it. Ranges on huge pages
// live in a second file of the same geometry, and appear in the same alias view, so that alias()
// is one addition either way.
//
// Both views are mapped span by span: a range's, or that of many small ones. An unmapped piece of
// either is a reservation without rights: mlockall locks only what is mapped, a stray access
// segfaults, and a core dump or a forked child has no bytes there instead of zeros.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/address_window.hpp"
#include "os/fork_guard.hpp"
#include "os/mapping_allowance.hpp"
#include "os/owned_fd.hpp"
#include "sluice/options.hpp"

namespace sluice::os {

// Spans are page-aligned parts of the window (block-aligned where huge pages are requested or in
// force); any other is invalid_argument. Members may be called from any thread, but the caller must
// serialize calls about the same bytes. In a forked child every member that would change anything
// answers `unsupported`: the files are still the parent's.
class HostMemory {
 public:
  // `wanted`: the pages of most ranges. For `small`, no private tmpfs is made.
  [[nodiscard]] static Result<std::unique_ptr<HostMemory>> create(
      AddressWindow window, HostPages wanted = HostPages::automatic);
  // Also reserves a window: `size` bytes, or as much as limits on addresses (ulimit -v) and files
  // (ulimit -f) leave, of which `others` bytes of addresses are reserved for other uses. At least
  // the smallest window, or `size`. out_of_host_memory, naming the limit.
  [[nodiscard]] static Result<std::unique_ptr<HostMemory>> reserve(
      std::size_t size, std::size_t others, HostPages wanted = HostPages::automatic);
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory();

  [[nodiscard]] AddressSpan window() const noexcept { return window_.span(); }
  // The parts of device::HostMemory. A file is owned here; huge_file() is -1 until a range is on
  // huge pages.
  [[nodiscard]] int file() const noexcept { return file_.get(); }
  [[nodiscard]] int huge_file() const noexcept;
  // True if the program has left the descriptors alone. Nothing is mapped from a file that it put
  // in their place.
  [[nodiscard]] bool has_files() const noexcept;
  [[nodiscard]] std::byte* alias_begin() const noexcept { return alias_; }
  [[nodiscard]] std::byte* alias(Address address) const noexcept {
    return alias_ + (address - window().begin);
  }

  // Maps both views of `span`, readable and writable, all zeros, not inherited by fork and not
  // dumped. Returns the pages in force; `automatic` becomes transparent where the machine has them
  // and the span holds a block. On a private tmpfs `transparent` takes 2 MiB at the first touch,
  // and `automatic` only where populate() is asked for a whole block: sparse ranges hold no more
  // than on small pages. Costs no memory until bytes are touched, except that huge pages are
  // all taken now. Errors: out_of_host_memory (mappings, of which some are left to the program; for
  // huge: the pool cannot hold the span), unsupported (no huge pages here), system (the program
  // closed the file).
  [[nodiscard]] Result<HostPages> map_view(AddressSpan span, HostPages wanted);
  // Maps the alias view of `span` alone, on small pages: for bytes that programs do not reach at
  // their address. out_of_host_memory (mappings). unmap_view() ends it.
  [[nodiscard]] Result<void> map_alias(AddressSpan span);
  // Takes both views down and returns the memory. Needs no descriptor, and no mapping that may have
  // run out: where a view cannot be taken down, it stays until the addresses are mapped again.
  // After an error the bytes may still be there; map_view() cleans them.
  [[nodiscard]] Result<void> unmap_view(AddressSpan span) noexcept;

  // Makes the bytes read as zero and returns their memory (huge pages are cleared and kept).
  // Removes the entries of small pages from both views: their next access through the application
  // view is a missing-page fault again.
  [[nodiscard]] Result<void> discard(AddressSpan span) noexcept;
  // Makes the bytes read as zero without replacing their pages, for devices that know memory by its
  // pages.
  [[nodiscard]] Result<void> clear(AddressSpan span) noexcept;
  // Makes the bytes of a span that nobody can access read as zero, if all its pages exist, and
  // keeps the pages. False: some do not, or Linux refuses; the bytes are undefined then.
  [[nodiscard]] bool clear_whole(AddressSpan span) noexcept;
  // Makes sure that all pages of the span exist; whole blocks of transparent pages become huge
  // pages if the file is on a private tmpfs. out_of_host_memory instead of a SIGBUS at the
  // first touch. Never allocates on the heap; for fault handlers.
  [[nodiscard]] Result<void> populate(AddressSpan span) noexcept;
  // The same for a block or the part of one, without waiting where Linux is short of memory. False:
  // some of it does not exist.
  [[nodiscard]] bool populate_without_waiting(AddressSpan span) noexcept;

  // Takes a huge page for a block of which nothing exists, where `automatic` pages go by density.
  // For fault handlers. False: it was not done.
  [[nodiscard]] bool take_huge_page(Address block) noexcept;
  // Makes the pages of a block or the part of one exist, and the entries of the alias view, which a
  // driver that registers them makes otherwise. A hint; for fault handlers.
  void populate_to_register(AddressSpan span) noexcept;

  // The pages in force at an address of a mapped view; `small` elsewhere. Lock-free.
  [[nodiscard]] HostPages pages_at(Address address) const noexcept;
  // The unit of rights there: a page, or a block on huge pages.
  [[nodiscard]] std::size_t granule_at(Address address) const noexcept {
    return pages_at(address) == HostPages::huge ? block_size : page_size;
  }
  // The meaning of `automatic` on this machine for a span that holds a block.
  [[nodiscard]] HostPages automatic_pages() const noexcept { return automatic_; }
  // Why the file is not on a private tmpfs; empty: it is. Never changes.
  [[nodiscard]] const std::string& no_private_tmpfs() const noexcept { return no_private_tmpfs_; }

 private:
  struct BlockState {
    std::atomic<HostPages> pages;       // `automatic`: nothing is mapped
    std::atomic<std::uint8_t> unclean;  // bytes that were given back may be there, by file
  };

  explicit HostMemory(AddressWindow window) noexcept : window_(std::move(window)) {}

  [[nodiscard]] Result<void> open_file(HostPages wanted);
  [[nodiscard]] bool has_private_tmpfs() const noexcept { return no_private_tmpfs_.empty(); }
  [[nodiscard]] bool fill_block(Address block) const noexcept;
  [[nodiscard]] Result<void> fill(AddressSpan span) const noexcept;
  [[nodiscard]] Result<void> reserve_alias(AddressSpan span) const noexcept;
  [[nodiscard]] Result<void> map_both(AddressSpan span, HostPages pages) const noexcept;
  [[nodiscard]] Result<void> map_at(void* begin, AddressSpan span, int file,
                                    HostPages pages) const noexcept;
  [[nodiscard]] int huge_page_advice(HostPages pages) const noexcept;
  [[nodiscard]] Result<void> take_huge_pages(AddressSpan span);
  [[nodiscard]] const OwnedFd& file_of(HostPages pages) const noexcept;
  [[nodiscard]] Result<void> give_back(AddressSpan span, HostPages pages) const noexcept;
  [[nodiscard]] bool close_application(AddressSpan span) const noexcept;
  void close_alias(AddressSpan span) const noexcept;
  void note_unclean(AddressSpan span, HostPages pages) const noexcept;
  [[nodiscard]] Result<void> punch(AddressSpan span, HostPages pages) const noexcept;
  void clean_again(AddressSpan span, HostPages pages) const noexcept;
  [[nodiscard]] Result<void> check(AddressSpan span, std::size_t unit) const noexcept;
  [[nodiscard]] BlockState& block_at(Address address) const noexcept;

  AddressWindow window_;
  OwnedFd file_;
  std::atomic<const OwnedFd*> huge_file_{
      nullptr};  // opened once, by the first range that asks for huge pages
  std::byte* alias_ = nullptr;
  BlockState* blocks_ =
      // one entry a block of the window; anonymous memory, so untouched entries cost nothing
      nullptr;
  MappingAllowance mappings_;
  HostPages automatic_ = HostPages::small;
  std::string no_private_tmpfs_;
  ForkGuard guard_;
};

}  // namespace sluice::os
