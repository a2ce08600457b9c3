// Five patterns, each with the line that makes it and the words that end it.
//
// False sharing and ping-pong come from the trace (observe/patterns.cc). A range is over-fetched if
// kernels used little of what moved for their launches, which only software GPUs tell. A prefetch
// was forgotten where launches, or the host, waited for bytes that nobody else was using. Strict
// mode's findings are the trace's as well.
//
// What it does not do: name the line of an allocation, which no trace has.

#include "report/findings.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "report/source_lines.hpp"

namespace sluice::tool::report {
namespace {

constexpr std::uint64_t least_bytes = std::uint64_t{1} << 20;  // smaller moves are not worth words
constexpr std::uint64_t least_wait = 500'000;                  // ns
constexpr std::uint64_t little = 4;  // kernels used less than this part of what moved

struct Finding {
  const char* kind;
  const RangeAccount* range;
  std::string launch;  // the place that moves the most
  std::uint64_t bytes = 0;
  std::uint64_t waited = 0;
  std::string text;
  std::string advice;
};

std::string size_in_words(std::uint64_t bytes) {
  if (bytes >= std::uint64_t{1} << 30)
    return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
  if (bytes >= 1 << 20) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  return fmt::format("{:.0f} KiB", static_cast<double>(bytes) / 1024);
}

std::string label(const RangeAccount& range) {
  return range.name.empty() ? fmt::format("the range at {:#x}", range.address)
                            : fmt::format("'{}'", range.name);
}

// Its name in the program, as far as is known.
std::string variable(const RangeAccount& range) {
  return range.name.empty() ? "range" : range.name;
}

// "saxpy, queue 0, /path/of/program.cc:21, in main" is as clear without the path.
std::string without_folders(const std::string& place) {
  const std::size_t begin = place.find(", /");
  const std::size_t end = begin == std::string::npos ? begin : place.find(',', begin + 1);
  if (begin == std::string::npos) return place;
  const std::size_t slash = place.rfind('/', end);
  return place.substr(0, begin + 2) + place.substr(slash + 1);
}

std::string most_common(const std::map<std::string, std::uint64_t>& codes) {
  const auto most =
      std::ranges::max_element(codes, {}, [](const auto& each) { return each.second; });
  return most == codes.end() ? std::string() : most->first;
}

const std::pair<const std::string, LaunchShare>* busiest(const RangeAccount& range) {
  const auto most = std::ranges::max_element(range.launches, {},
                                             [](const auto& each) { return each.second.bytes; });
  return most == range.launches.end() ? nullptr : &*most;
}

bool launches_write(const RangeAccount& range) {
  return std::ranges::any_of(range.launches, [](const auto& each) { return each.second.writes; });
}

std::string joined(const std::set<std::string>& parties) {
  std::string text;
  for (const std::string& party : parties) text += (text.empty() ? "" : " and ") + party;
  return text;
}

Finding false_sharing(const RangeAccount& range) {
  const auto* launch = busiest(range);
  return {.kind = "false sharing",
          .range = &range,
          .launch = launch == nullptr ? "" : launch->first,
          .bytes = range.moved,
          .waited = range.host_waited,
          .text = fmt::format(
              "{} went back and forth between {} {} times or more, but the two sides use different "
              "bytes of it: they only lie in the same page, or in the same 64 KiB.",
              label(range), joined(range.parties), range.false_sharing),
          .advice =
              "Give the bytes that the host uses a range of their own, or put 64 KiB between "
              "them and those that the kernels use."};
}

Finding ping_pong(const RangeAccount& range) {
  const auto* launch = busiest(range);
  const std::string host =
      "llocate it as Kind::host, which both sides reach in place, if each uses a little of it at a "
      "time; or let the host look at it less often.";
  const bool only_reads = range.host_writes == 0;
  return {.kind = "ping-pong",
          .range = &range,
          .launch = launch == nullptr ? "" : launch->first,
          .bytes = range.moved,
          .waited = range.host_waited,
          .text = fmt::format("{} went back and forth between {} {} times or more: {} moved.",
                              label(range), joined(range.parties), range.thrashing,
                              size_in_words(range.moved)),
          .advice = only_reads && launches_write(range)
                        ? fmt::format("If the kernel only reads it, write .reads({0}) instead of "
                                      ".writes({0}): then both sides keep a copy. Otherwise a",
                                      variable(range)) +
                              host
                        : "A" + host};
}

void find_over_fetch(const RangeAccount& range, std::vector<Finding>& found) {
  for (const auto& [place, share] : range.launches) {
    if (share.touched.empty() || share.launches == 0 || share.bytes < least_bytes) continue;
    std::uint64_t touched = 0;
    for (const auto& [address, bytes] : share.touched) touched += bytes;
    const std::uint64_t each = share.bytes / share.launches;
    if (touched * little > each) continue;
    found.push_back(
        {.kind = "over-fetch",
         .range = &range,
         .launch = place,
         .bytes = share.bytes - std::min(share.bytes, touched * share.launches),
         .waited = share.waited,
         .text = fmt::format(
             "{} of {} moved for {} of these launches, and their kernels used at most {} of it.",
             size_in_words(share.bytes), label(range),
             share.launches == 1 ? "one" : std::to_string(share.launches), size_in_words(touched)),
         .advice = fmt::format("Name only what the kernel uses: .{}({} + first, bytes).",
                               share.writes ? "writes" : "reads", variable(range))});
  }
}

void find_forgotten(const RangeAccount& range, std::vector<Finding>& found) {
  for (const auto& [place, share] : range.launches) {
    if (share.bytes < least_bytes || share.waited < least_wait) continue;
    found.push_back(
        {.kind = "forgotten prefetch",
         .range = &range,
         .launch = place,
         .bytes = share.bytes,
         .waited = share.waited,
         .text = fmt::format("{} of these launches waited for {} of {}.",
                             share.launches == 1 ? "One" : std::to_string(share.launches),
                             size_in_words(share.bytes), label(range)),
         .advice = fmt::format("As soon as the host has written it, write space.prefetch({}, "
                               "Location::device(...)): then it moves while the host goes on.",
                               variable(range))});
  }
  if (range.host_bytes < least_bytes || range.host_waited < least_wait) return;
  found.push_back(
      {.kind = "forgotten prefetch",
       .range = &range,
       .launch = "",
       .bytes = range.host_bytes,
       .waited = range.host_waited,
       .text = fmt::format("The host waited for {} of {}, in {} accesses.",
                           size_in_words(range.host_bytes), label(range), range.faults),
       .advice = fmt::format("Behind the launch whose results it reads, write space.prefetch({}, "
                             "Location::host()).",
                             variable(range))});
}

void find_undeclared(const RangeAccount& range, std::vector<Finding>& found) {
  std::uint64_t pages = 0;
  bool writes = false;
  std::string place;
  for (const auto& [where, share] : range.launches) {
    pages += share.undeclared;
    writes = writes || share.undeclared_writes;
    if (share.undeclared != 0 && !where.empty()) place = where;
  }
  if (pages == 0) return;
  found.push_back(
      {.kind = "not named (strict mode)",
       .range = &range,
       .launch = place,
       .bytes = pages * 4096,
       .text = fmt::format("Kernels touched {} pages of {} that their launches do not name.", pages,
                           label(range)),
       .advice = fmt::format("Name them: .{}({}). Without strict mode such a kernel may work with "
                             "old bytes.",
                             writes ? "writes" : "reads", variable(range))});
}

}  // namespace

Json findings(const std::vector<RangeAccount>& ranges) {
  std::vector<Finding> found;
  for (const RangeAccount& range : ranges) {
    const std::size_t before = found.size();
    find_undeclared(range, found);
    find_over_fetch(range, found);
    const bool is_over_fetched = found.size() != before;
    if (range.false_sharing != 0)
      found.push_back(false_sharing(range));
    else if (range.thrashing != 0 && !is_over_fetched)
      found.push_back(ping_pong(range));
    if (found.size() == before) find_forgotten(range, found);
  }
  std::ranges::stable_sort(found, [](const Finding& a, const Finding& b) {
    return std::pair(a.waited, a.bytes) > std::pair(b.waited, b.bytes);
  });
  std::map<std::string, std::size_t> of_kind;
  std::erase_if(found, [&](const Finding& each) { return ++of_kind[each.kind] > most_findings; });
  std::set<std::string> places;
  for (const Finding& each : found) places.insert(most_common(each.range->codes));
  const std::map<std::string, std::string> lines = source_lines(places);
  Json all = Json::array();
  for (const Finding& each : found)
    all.push_back({{"kind", each.kind},
                   {"range", each.range->name},
                   {"address", each.range->address},
                   {"size", each.range->size},
                   {"bytes", each.bytes},
                   {"waited_us", static_cast<double>(each.waited) / 1000},
                   {"host", lines.at(most_common(each.range->codes))},
                   {"launch", without_folders(each.launch)},
                   {"text", each.text},
                   {"advice", each.advice}});
  return all;
}

}  // namespace sluice::tool::report
