// Reference: what the directory should say and what every page should read as, told page by page in
// the plainest way.
//
// It knows nothing of masks, steps or their order: a page is a set of holders, a set of readers, at
// most one writer, and a value. The state machine in coherence_test.cc compares the directory with
// it after every command.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "plan/planner.hpp"

namespace sluice::plan {

struct Reference {
  static constexpr int host = -1;
  static constexpr int nobody = -2;

  struct Page {
    std::set<int> holders;
    std::set<int> readers;  // with the writer
    int writer = nobody;
    std::int64_t value = 0;
    bool lost = false;

    [[nodiscard]] bool untouched() const { return holders.empty() && !lost; }
    void drop(int location) {
      holders.erase(location);
      readers.erase(location);
      if (writer == location) writer = nobody;
    }
  };

  std::vector<Page> pages;
  int devices = 0;
  bool host_can_share = true;
  std::set<int> admitted;
  std::map<int, Access> host_mapped;  // devices that map the block's host memory

  void acquire(int to, const std::set<std::uint32_t>& which, Access access) {
    for (const std::uint32_t at : which) {
      Page& page = pages[at];
      if (page.lost || may(to, page, access)) continue;
      if (to != host) host_mapped.clear();
      access == Access::read && (to != host || host_can_share) ? read(to, page) : write(to, page);
    }
  }

  // The device comes to the host's bytes, to read some pages and to write others. Beside it the
  // host may only read the former, and do nothing with the latter, until it asks again.
  void map_host(int device, const std::set<std::uint32_t>& to_read,
                const std::set<std::uint32_t>& to_write) {
    const Access access = to_write.empty() ? Access::read : Access::write;
    if (!maps_host(device, access)) {
      for (Page& page : pages) {
        if (page.lost || (page.untouched() && access == Access::read)) continue;
        page.holders = {host};
        if (page.writer != host) page.writer = nobody;
        if (page.readers.contains(host))
          page.readers = {host};
        else
          page.readers.clear();
      }
      host_mapped[device] = access;
    }
    for (const std::uint32_t at : to_read) {
      if (to_write.contains(at) || pages[at].writer != host) continue;
      pages[at].writer = nobody;
      if (!host_can_share) pages[at].readers.erase(host);
    }
    for (const std::uint32_t at : to_write) {
      if (pages[at].writer == host) pages[at].writer = nobody;
      pages[at].readers.erase(host);
    }
  }

  void evict(int device, int to) {
    host_mapped.erase(device);
    for (Page& page : pages) {
      if (!page.holders.contains(device)) continue;
      page.drop(device);
      if (page.holders.empty()) page.holders = {to};
    }
  }

  void discard(const std::set<std::uint32_t>& which) {
    for (const std::uint32_t at : which) {
      if (pages[at].untouched()) continue;
      host_mapped.clear();
      pages[at] = {};
    }
  }

  void lose(int device) {
    host_mapped.erase(device);
    for (Page& page : pages) {
      const bool had = page.holders.contains(device);
      page.drop(device);
      page.lost |= had && page.holders.empty();
    }
  }

  // Whether the device may go at any page through host memory.
  [[nodiscard]] bool maps_host(int device, Access access) const {
    const auto mapped = host_mapped.find(device);
    if (mapped == host_mapped.end()) return false;
    return access == Access::read || mapped->second == Access::write;
  }

  [[nodiscard]] static bool may(int location, const Page& page, Access access) {
    return access == Access::read ? page.readers.contains(location) : page.writer == location;
  }

 private:
  void read(int to, Page& page) const {
    if (page.writer == host && !host_can_share) page.readers.erase(host);
    page.writer = nobody;
    page.holders.insert(to);
    page.readers.insert(to);
  }
  static void write(int to, Page& page) {
    page.holders = page.readers = {to};
    page.writer = to;
  }
};

}  // namespace sluice::plan
