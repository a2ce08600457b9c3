// A record has a version of its own, odd while it is written, so that a reader sees whole records
// and the writer waits for nobody. Writing one costs some 50 ns.
#include "face/kfd/account/account.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace sluice::kfd {
namespace {

using account::Header;
using account::Record;
using FactWords = std::array<std::uint64_t, account::words_of_facts>;

constexpr std::size_t nowhere = ~std::size_t{0};

BufferFacts facts_of(std::uint64_t handle, const Buffer& buffer) noexcept {
  return {.handle = handle,
          .address = buffer.address,
          .size = buffer.size,
          .mapped_on = buffer.mapped_on,
          .flags = buffer.flags,
          .gpu = static_cast<std::uint32_t>(buffer.gpu),
          .map_error = static_cast<std::uint32_t>(buffer.last_map.error),
          .n_success = buffer.last_map.n_success,
          .n_devices = buffer.last_map.n_devices,
          .refused_frees = buffer.refused_frees,
          .is_in_gtt = buffer.is_in_gtt ? 1U : 0U};
}

// False: it was being written all the time.
bool read_record(const Record& record, BufferFacts& facts) noexcept {
  constexpr int attempts = 1000;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const std::uint64_t before = record.version.load(std::memory_order_acquire);
    FactWords words;
    for (std::size_t at = 0; at < words.size(); ++at)
      words[at] = record.facts[at].load(std::memory_order_acquire);
    if (before % 2 != 0 || record.version.load(std::memory_order_relaxed) != before) continue;
    facts = std::bit_cast<BufferFacts>(words);
    return true;
  }
  return false;
}

}  // namespace

Account::Account(std::span<std::byte> bytes, int gpus) noexcept
    : header_(reinterpret_cast<Header*>(bytes.data())),
      records_(reinterpret_cast<Record*>(bytes.data() + sizeof(Header)),
               (bytes.size() - sizeof(Header)) / sizeof(Record)) {
  header_->gpus = static_cast<std::uint64_t>(gpus);
  header_->magic = account::magic;
}

void Account::count_call(bool is_map) noexcept {
  ++header_->calls;
  if (is_map) ++header_->map_calls;
}

std::size_t Account::place_of(std::uint64_t handle) {
  if (const auto found = places_.find(handle); found != places_.end()) return found->second;
  const bool is_new = free_.empty();
  const std::size_t place = is_new ? header_->records.load() : *free_.begin();
  if (place >= records_.size()) return nowhere;
  places_.emplace(handle, place);
  if (is_new)
    ++header_->records;
  else
    free_.erase(free_.begin());
  return place;
}

void Account::write(std::size_t place, const BufferFacts& facts) noexcept {
  const auto words = std::bit_cast<FactWords>(facts);
  Record& record = records_[place];
  record.version.fetch_add(1, std::memory_order_acq_rel);
  for (std::size_t at = 0; at < words.size(); ++at)
    record.facts[at].store(words[at], std::memory_order_release);
  record.version.fetch_add(1, std::memory_order_release);
}

void Account::forget(std::uint64_t handle) {
  left_out_.erase(handle);
  const auto found = places_.find(handle);
  if (found == places_.end()) return;
  write(found->second, {});
  free_.insert(found->second);
  places_.erase(found);
}

void Account::note(std::uint64_t handle, const Buffer* buffer) noexcept {
  try {
    if (buffer == nullptr) {
      forget(handle);
    } else if (const std::size_t place = place_of(handle); place != nowhere) {
      write(place, facts_of(handle, *buffer));
      left_out_.erase(handle);
    } else {
      left_out_.insert(handle);
    }
    header_->left_out = left_out_.size() + unrecorded_;
  } catch (const std::bad_alloc&) {
    header_->left_out = left_out_.size() + ++unrecorded_;
  }
}

Result<AccountFacts> read_account(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(Header))
    return fail(ErrorCode::invalid_argument, "the account has %zu bytes only", bytes.size());
  const auto& header = *reinterpret_cast<const Header*>(bytes.data());
  const std::span records(reinterpret_cast<const Record*>(bytes.data() + sizeof(Header)),
                          (bytes.size() - sizeof(Header)) / sizeof(Record));
  AccountFacts reading;
  const std::uint64_t gpus = header.gpus;
  if (header.magic != account::magic || gpus == 0 || gpus > most_gpus)
    return fail(ErrorCode::invalid_argument, "the account is of another version of Sluice");
  reading.gpus = static_cast<int>(gpus);
  reading.left_out = header.left_out;
  reading.calls = header.calls;
  reading.map_calls = header.map_calls;
  const std::size_t used = std::min<std::uint64_t>(header.records, records.size());
  for (const Record& record : records.first(used)) {
    BufferFacts facts;
    if (!read_record(record, facts)) {
      ++reading.left_out;
    } else if (facts.handle != 0) {
      reading.buffers.push_back(facts);
    }
  }
  std::ranges::sort(reading.buffers, {}, &BufferFacts::handle);
  return reading;
}

}  // namespace sluice::kfd
