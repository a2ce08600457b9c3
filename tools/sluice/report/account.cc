// One pass over the events. Copies for a launch are told before the launch, which then says from
// which place of the program it came.
//
// Cost: memory for each range and for each of its times, which become wider as a trace becomes
// longer. What it does not do: judge (findings.cc does).

#include "report/account.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

namespace sluice::tool::report {
namespace {

constexpr std::uint64_t most_bins = 160;
constexpr std::size_t most_links = 1 << 18;
constexpr std::size_t most_heat_rows = 32;
constexpr std::size_t most_residency = 400;
constexpr std::uint64_t unnamed_size = std::uint64_t{2} << 20;

}  // namespace

// --- latency -------------------------------------------------------------------------------------

void Latency::add(std::uint64_t nanoseconds) {
  const double position = std::log2(static_cast<double>(std::max<std::uint64_t>(nanoseconds, 1)));
  ++counts_[std::min(static_cast<std::size_t>(position * steps), counts_.size() - 1)];
  ++count_;
  most_ = std::max(most_, nanoseconds);
}

Json Latency::summary() const {
  const auto upper = [](std::size_t step) {
    return std::exp2(static_cast<double>(step + 1) / steps) / 1000;
  };
  Json quantiles = Json::object();
  for (const auto& [name, part] : {std::pair{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}}) {
    std::uint64_t seen = 0;
    std::size_t step = 0;
    while (step < counts_.size() && static_cast<double>(seen) < part * static_cast<double>(count_))
      seen += counts_[step++];
    quantiles[name] = std::min(upper(step == 0 ? 0 : step - 1), static_cast<double>(most_) / 1000);
  }
  Json buckets = Json::array();
  for (std::size_t doubling = 0; doubling < 64; ++doubling) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < steps; ++i) sum += counts_[doubling * steps + i];
    if (sum != 0) buckets.push_back({std::exp2(static_cast<double>(doubling)) / 1000, sum});
  }
  Json summary = {{"count", count_}, {"max_us", static_cast<double>(most_) / 1000}};
  summary.update(quantiles);
  summary["buckets"] = buckets;
  return summary;
}

// --- events --------------------------------------------------------------------------------------

void Account::add(const Entry& entry) {
  if (entry.kind == "M" || entry.kind == "flow" || entry.kind == "Grant") {
    process_ = entry.process;
    return;
  }
  if (first_ == 0) first_ = entry.time;
  first_ = std::min(first_, entry.time);
  last_ = std::max(last_, entry.time + entry.duration);
  if (entry.kind == "Counter") {
    if (entry.name == "missed") {
      overwritten_ = entry.number("overwritten events");
      kernels_left_out_ = entry.number("kernels");
    } else {
      residency_.push_back({{"time", entry.time}, {"bytes", entry.arguments}});
      if (residency_.size() > 2 * most_residency) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < residency_.size(); i += 2) residency_[kept++] = residency_[i];
        residency_.resize(kept);
      }
    }
    return;
  }
  ++counts_[entry.kind == "Pattern" ? entry.name : entry.kind];
  if (entry.kind == "Allocate") {
    live_[entry.address("address")] = ranges_.size();
    RangeAccount& range = ranges_.emplace_back();
    range.name = entry.text("range");
    range.address = entry.address("address");
    range.size = entry.number("size");
  } else if (entry.kind == "Free") {
    const auto ending = live_.find(entry.address("address"));
    if (ending == live_.end()) return;
    ranges_[ending->second].ended = entry.time;
    live_.erase(ending);
  } else if (entry.kind == "Migration" || entry.kind == "ReadDuplicate") {
    move(entry);
  } else if (entry.kind == "ReadDuplicateInvalidate") {
    invalidate(entry);
  } else if (entry.kind == "CpuFault") {
    latencies_["CpuFault"].add(entry.duration);
    RangeAccount& range = range_at(entry);
    ++range.faults;
    range.host_waited += entry.duration;
    if (entry.text("access") == "write") ++range.host_writes;
    if (const std::string code = entry.text("code"); !code.empty()) ++range.codes[code];
    // Memory that did not exist before is the host's.
    if (range.held.empty()) range.held["host"] = entry.number("size");
    if (bin(range, entry.time).holder.empty()) bin(range, entry.time).holder = "host";
  } else if (entry.kind == "Launch") {
    latencies_["Launch"].add(entry.duration);
    note_launch(entry);
  } else if (entry.kind == "Kernel") {
    latencies_["Kernel"].add(entry.duration);
  } else if (entry.kind == "LaunchUse" || entry.kind == "KernelTouch" ||
             entry.kind == "UndeclaredAccess") {
    note_of_launch(entry);
  } else if (entry.kind == "Pattern") {
    note_pattern(entry);
  }
}

RangeAccount& Account::range_at(const Entry& entry) {
  const std::uint64_t address = entry.address("address");
  const auto after = live_.upper_bound(address);
  if (after != live_.begin()) {
    RangeAccount& range = ranges_[std::prev(after)->second];
    if (address < range.address + range.size) return range;
  }
  // Ended, or made before the trace began.
  const std::uint64_t begin = address / unnamed_size * unnamed_size;
  live_[begin] = ranges_.size();
  RangeAccount& range = ranges_.emplace_back();
  range.name = entry.text("range");
  range.address = begin;
  range.size = unnamed_size;
  return range;
}

void Account::move(const Entry& entry) {
  latencies_["Migration"].add(entry.duration);
  const std::uint64_t bytes = entry.number("size");
  const std::string from = entry.text("from");
  const std::string to = entry.text("to");
  const std::string cause = entry.text("cause");
  Flow& flow = flows_[{from, to, cause}];
  flow.bytes += bytes;
  ++flow.count;
  RangeAccount& range = range_at(entry);
  range.moved += bytes;
  if (cause == "host access") range.host_bytes += bytes;
  std::uint64_t& source = range.held[from];
  if (entry.kind == "Migration") source -= std::min(source, bytes);
  range.held[to] = std::min(range.held[to] + bytes, range.size);
  RangeAccount::Bin& now = bin(range, entry.time);
  now.moved += bytes;
  now.holder =
      std::max_element(range.held.begin(), range.held.end(), [&](const auto& a, const auto& b) {
        if (a.second != b.second) return a.second < b.second;
        return b.first == to;
      })->first;
  if (cause != "launch") return;
  if (pending_.size() > most_links) pending_.clear();
  pending_[entry.number("link")].push_back(
      {static_cast<std::size_t>(&range - ranges_.data()), bytes, entry.duration});
}

void Account::invalidate(const Entry& entry) {
  RangeAccount& range = range_at(entry);
  std::uint64_t& held = range.held[entry.text("from")];
  held -= std::min(held, entry.number("size"));
}

void Account::note_launch(const Entry& entry) {
  if (places_.size() > most_links) places_.clear();
  const std::uint64_t link = entry.number("link");
  const std::string& place = places_[link] = entry.text("place");
  const auto moves = pending_.find(link);
  if (moves == pending_.end()) return;
  std::set<std::size_t> concerned;
  for (const Move& each : moves->second) {
    LaunchShare& share = ranges_[each.range].launches[place];
    share.bytes += each.bytes;
    share.waited += each.duration;
    if (concerned.insert(each.range).second) ++share.launches;
  }
  pending_.erase(moves);
}

void Account::note_of_launch(const Entry& entry) {
  // A page that strict mode reports is told before its launch is.
  const auto place = places_.find(entry.number("link"));
  const std::string where = place == places_.end() ? std::string() : place->second;
  LaunchShare& share = range_at(entry).launches[where];
  const std::uint64_t size = entry.number("size");
  if (entry.kind == "KernelTouch") {
    std::uint64_t& touched = share.touched[entry.address("address")];
    touched = std::max(touched, size);
  } else if (entry.kind == "UndeclaredAccess") {
    ++share.undeclared;
    share.undeclared_writes = share.undeclared_writes || entry.text("access") == "write";
  } else {
    share.named = std::max(share.named, size);
    share.writes = share.writes || entry.text("access") == "write";
  }
}

void Account::note_pattern(const Entry& entry) {
  RangeAccount& range = range_at(entry);
  const bool is_false = entry.name == "FalseSharingDetected";
  std::uint64_t& returns = is_false ? range.false_sharing : range.thrashing;
  returns = std::max(returns, entry.number("returns"));
  range.thrashing_size = std::max(range.thrashing_size, entry.number("size"));
  range.parties.insert(entry.text("from"));
  range.parties.insert(entry.text("to"));
}

// --- times ---------------------------------------------------------------------------------------

RangeAccount::Bin& Account::bin(RangeAccount& range, std::uint64_t time) {
  const auto number = [&] { return (time - std::min(time, first_)) / bin_width_; };
  while (number() >= most_bins) widen_bins();
  return range.bins[number()];
}

void Account::widen_bins() {
  bin_width_ *= 2;
  for (RangeAccount& range : ranges_) {
    std::map<std::uint64_t, RangeAccount::Bin> wider;
    for (auto& [number, narrow] : range.bins) {
      RangeAccount::Bin& wide = wider[number / 2];
      wide.moved += narrow.moved;
      if (!narrow.holder.empty()) wide.holder = narrow.holder;
    }
    range.bins = std::move(wider);
  }
}

// --- the summary ---------------------------------------------------------------------------------

Json Account::heat() const {
  std::vector<const RangeAccount*> busiest;
  for (const RangeAccount& range : ranges_)
    if (!range.bins.empty()) busiest.push_back(&range);
  std::ranges::sort(busiest, [](const RangeAccount* a, const RangeAccount* b) {
    return std::pair(a->moved, a->faults) > std::pair(b->moved, b->faults);
  });
  if (busiest.size() > most_heat_rows) busiest.resize(most_heat_rows);
  Json rows = Json::array();
  for (const RangeAccount* range : busiest) {
    Json bins = Json::array();
    for (const auto& [number, bin] : range->bins) bins.push_back({number, bin.holder, bin.moved});
    rows.push_back({{"range", range->name},
                    {"address", range->address},
                    {"size", range->size},
                    {"moved", range->moved},
                    {"accesses", range->faults},
                    {"end", range->ended == 0 ? (last_ - first_) / bin_width_ + 1
                                              : (range->ended - first_) / bin_width_},
                    {"bins", bins}});
  }
  return rows;
}

Json Account::summary(const TraceHead& head) const {
  Json summary = {{"program", head.facts.value("program", "")},
                  {"process", process_},
                  {"sluice", head.facts.value("sluice", "")},
                  {"grade", head.facts.value("grade", "")},
                  {"devices", head.facts.value("devices", Json::array())},
                  {"duration_us", static_cast<double>(last_ - first_) / 1000}};
  std::uint64_t bytes = 0;
  Json flows = Json::array();
  for (const auto& [key, flow] : flows_) {
    bytes += flow.bytes;
    flows.push_back({{"from", key[0]},
                     {"to", key[1]},
                     {"cause", key[2]},
                     {"bytes", flow.bytes},
                     {"count", flow.count}});
  }
  summary["bytes_moved"] = bytes;
  summary["events"] = counts_;
  summary["overwritten_events"] = overwritten_;
  summary["kernels_left_out"] = kernels_left_out_;
  summary["unreadable_lines"] = head.unreadable;
  summary["flows"] = flows;
  summary["latency"] = Json::object();
  for (const auto& [kind, latency] : latencies_) summary["latency"][kind] = latency.summary();
  summary["bin_us"] = static_cast<double>(bin_width_) / 1000;
  summary["bins"] = (last_ - first_) / bin_width_ + 1;
  summary["heat"] = heat();
  Json residency = Json::array();
  for (const Json& each : residency_)
    residency.push_back(
        {static_cast<double>(each["time"].get<std::uint64_t>() - first_) / 1000, each["bytes"]});
  summary["residency"] = residency;
  return summary;
}

}  // namespace sluice::tool::report
