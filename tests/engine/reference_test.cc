// Random requests against a model that does them one after the other on plain memory, while the
// devices' budgets hold a fraction of the data: host accesses beside running kernels, launches on
// every device, and each way in which bytes come to lie in host memory and be used there from a
// device (no room, advice, leases, mappings), with mapped device memory that moves meanwhile.
//
// SLUICE_REFERENCE_SEED=... repeats the requests of one round.
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "engine/engine_rig.hpp"
#include "engine/mappings.hpp"

namespace sluice::engine {
namespace {

constexpr int device_count = 2;
constexpr std::size_t cell = block_size / 4;
constexpr std::size_t cells = 20;             // of the shared range, which no device can hold
constexpr std::size_t room = 2 * block_size;  // of each device
constexpr std::size_t mapped_cells = 4;       // of a range in the memory of device 0
constexpr int usual_rounds = 8;
constexpr std::size_t cell_words = cell / sizeof(std::uint32_t);

enum class Do : std::uint8_t {
  load,
  store,
  fill,
  mix,
  reduce,
  copy,
  discard,
  prefetch,
  advise,
  lease,
  end_lease,
  map,
  unmap,
  write_mapped,
  read_mapped,
  relocate,
};
constexpr int kinds = static_cast<int>(Do::relocate) + 1;

struct Request {
  Do what;
  int device;         // or a location, where one more stands for the host
  std::size_t first;  // cell
  std::size_t count;  // of cells
  std::uint32_t value;
  bool flag;
  bool beside;  // what is launched does not begin before the next request has
};

Request any_request(std::mt19937_64& random) {
  const auto below = [&random](std::size_t end) {
    return static_cast<std::size_t>(random() % end);
  };
  Request request{};
  request.what = static_cast<Do>(below(kinds));
  request.device = static_cast<int>(below(device_count + 1));
  request.first = below(cells);
  request.count = 1 + below(std::min<std::size_t>(cells - request.first, 10));
  request.value = static_cast<std::uint32_t>(random());
  request.flag = below(2) != 0;
  request.beside = below(2) != 0;
  return request;
}

std::ostream& operator<<(std::ostream& out, const Request& request) {
  constexpr std::array names = {
      "load",   "store", "fill",      "mix", "reduce", "copy",         "discard",     "prefetch",
      "advise", "lease", "end_lease", "map", "unmap",  "write_mapped", "read_mapped", "relocate"};
  static_assert(names.size() == kinds);
  return out << names[static_cast<std::size_t>(request.what)] << " device " << request.device
             << " cells " << request.first << "+" << request.count << " value " << request.value
             << (request.flag ? " flag" : "") << (request.beside ? " beside" : "");
}

// Opens gates a moment after they were set up, so that what stands behind them runs beside what the
// test does next.
class Gates {
 public:
  explicit Gates(std::uint32_t* words)
      : words_(words), thread_([this](const std::stop_token& stop) { open(stop); }) {}
  [[nodiscard]] const std::uint32_t* add() { return &words_[made_.fetch_add(1)]; }

 private:
  void open(const std::stop_token& stop) {
    for (int opened = 0; opened < made_ || !stop.stop_requested();) {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      if (opened < made_) __atomic_store_n(&words_[opened++], 1U, __ATOMIC_RELEASE);
    }
  }

  std::uint32_t* const words_;
  std::atomic<int> made_{0};
  std::jthread thread_;
};

class Reference : public EngineTest, public testing::WithParamInterface<Grade> {
 protected:
  // What came up; each has to.
  struct Seen {
    int host_mapped = 0;
    int leases = 0;
    int mappings = 0;
    int moves = 0;
    [[nodiscard]] bool all() const {
      return host_mapped != 0 && leases != 0 && mappings != 0 && moves != 0;
    }
  };

  void open_tight() {
    SpaceOptions options = small_devices(device_count);
    options.best_grade = std::min(options.best_grade, GetParam());
    options.device_budget = room;
    options.overflow = Overflow::map_host;
    options.stop_interval = std::chrono::milliseconds(5);
    open(options);
    if (HasFatalFailure()) return;
    data = words(cells * cell);
    expected.assign(cells * cell_words, 0);
    sum = reinterpret_cast<std::uint64_t*>(words(page_size));
    gates.emplace(words(16 * page_size, Kind::host));
    const auto base = engine->mappings().allocate(mapped_cells * cell, Kind::device, 0,
                                                  std::array{0, 1}, Access::write);
    ASSERT_TRUE(base) << base.error().detail();
    mapped = reinterpret_cast<std::uint32_t*>(base->value);
    expected_mapped.assign(mapped_cells * cell_words, 0);
    const std::vector<std::uint32_t> zeros(expected_mapped);
    ASSERT_TRUE(engine->copy(mapped, zeros.data(), mapped_cells * cell));
  }
  void close() {
    expect_everything();
    for (const LeaseId lease : leases) engine->end_lease(lease);
    leases.clear();
    EXPECT_TRUE(engine->synchronize({}));
    gates.reset();
    EXPECT_EQ(engine->check(), std::nullopt);
    for (std::uint32_t* range : {data, mapped})
      EXPECT_TRUE(engine->free(Address::of(range), FreeMode::unmap));
    engine = nullptr;
  }

  void make(const Request& request);
  void expect_everything();

  [[nodiscard]] static std::size_t word_of(std::size_t at) { return at * cell_words; }
  [[nodiscard]] AddressSpan part_of(const Request& request) const {
    return span(data + word_of(request.first), request.count * cell);
  }
  [[nodiscard]] static Location location_of(const Request& request) {
    return request.device == device_count ? Location::host() : Location::device(request.device);
  }
  // What may be refused is refused for what somebody holds, or for want of room, and has done
  // nothing.
  template <typename Value>
  static bool was_done(const Result<Value>& result) {
    if (result) return true;
    const ErrorCode code = result.error().code();
    EXPECT_TRUE(code == ErrorCode::busy || code == ErrorCode::out_of_device_memory)
        << to_string(code) << ": " << result.error().detail();
    return false;
  }
  template <typename Arguments>
  bool run(const Request& request, const char* kernel, const Arguments& arguments,
           std::uint64_t items, std::vector<Use> uses) {
    const int device = request.device % device_count;
    if (request.beside) {
      const std::uint32_t* const gate = gates->add();
      if (!launch(device, "spin", sluice_soft_spin{gate, 1}, 1, {{span(gate, 4), Access::read}}))
        ADD_FAILURE() << "no gate";
    }
    return was_done(launch(device, kernel, arguments, items, std::move(uses)));
  }
  void touch(const Request& request);
  void launch_on(const Request& request);
  void reduce(const Request& request);
  void copy(const Request& request);
  void give_advice(const Request& request);
  void lease(const Request& request);
  void map_or_unmap(const Request& request);
  void use_mapped(const Request& request);

  std::uint32_t* data = nullptr;
  std::vector<std::uint32_t> expected;
  std::uint32_t* mapped = nullptr;
  std::vector<std::uint32_t> expected_mapped;
  std::uint64_t* sum = nullptr;
  std::optional<Gates> gates;
  std::deque<LeaseId> leases;
  Seen seen;
};

// Loads or stores some words, without a wait for anybody.
void Reference::touch(const Request& request) {
  const std::size_t begin = word_of(request.first);
  const std::size_t last = begin + request.count * cell_words - 1;
  for (const std::size_t at : {begin, begin + request.value % (last - begin), last}) {
    auto* const word = static_cast<volatile std::uint32_t*>(data + at);
    if (request.what == Do::store)
      *word = expected[at] = request.value ^ static_cast<std::uint32_t>(at);
    ASSERT_EQ(*word, expected[at]) << "word " << at;
  }
}

void Reference::launch_on(const Request& request) {
  const AddressSpan part = part_of(request);
  auto* const begin = reinterpret_cast<std::uint32_t*>(part.begin.value);
  std::uint32_t* const expect = &expected[word_of(request.first)];
  const std::size_t count = part.size / sizeof(std::uint32_t);
  const std::vector<Use> uses{{part, Access::write}};
  if (request.what == Do::fill) {
    if (run(request, "fill", sluice_soft_fill{begin, request.value}, count, uses))
      std::fill_n(expect, count, request.value);
  } else {
    constexpr std::size_t stride = 13;
    const std::size_t places = count / stride;
    const sluice_soft_mix mix{reinterpret_cast<std::uint8_t*>(begin), stride * 4, request.value, 4};
    if (!run(request, "mix", mix, places, uses)) return;
    for (std::size_t i = 0; i < places; ++i)
      expect[i * stride] =
          static_cast<std::uint32_t>(sluice_soft_mixed(expect[i * stride], request.value, i));
  }
  const auto residency = engine->residency(part.begin);
  if (residency && !residency->host_mapped_on.empty()) ++seen.host_mapped;
}

// Adds up what the part has, on the device. To load the sum waits for that.
void Reference::reduce(const Request& request) {
  *sum = 0;
  const AddressSpan part = part_of(request);
  const sluice_soft_reduce asked{reinterpret_cast<std::uint32_t*>(part.begin.value), sum};
  const std::size_t count = part.size / sizeof(std::uint32_t);
  if (!run(request, "reduce", asked, count, {{part, Access::read}, {span(sum, 8), Access::write}}))
    return;
  const std::uint32_t* const expect = &expected[word_of(request.first)];
  ASSERT_EQ(*static_cast<volatile std::uint64_t*>(sum),
            std::accumulate(expect, expect + count, std::uint64_t{0}));
}

// From one part of the range to another, which may overlap.
void Reference::copy(const Request& request) {
  const std::size_t to = request.value % (cells - request.count + 1);
  const std::size_t size = request.count * cell;
  if (!was_done(engine->copy(data + word_of(to), data + word_of(request.first), size))) return;
  std::memmove(&expected[word_of(to)], &expected[word_of(request.first)], size);
}

void Reference::give_advice(const Request& request) {
  constexpr std::array advice = {AdviceKind::prefer, AdviceKind::no_preference,
                                 AdviceKind::accessed_by, AdviceKind::not_accessed_by};
  const AdviceKind kind = advice[request.value % advice.size()];
  const bool of_device = kind == AdviceKind::accessed_by || kind == AdviceKind::not_accessed_by;
  const Location at =
      of_device ? Location::device(request.device % device_count) : location_of(request);
  EXPECT_TRUE(engine->advise(part_of(request), kind, at));
}

void Reference::lease(const Request& request) {
  if (request.what == Do::lease && leases.size() < 2) {
    const auto begun = engine->lease(part_of(request), Location::host(),
                                     request.flag ? Access::write : Access::read);
    if (!was_done(begun)) return;
    leases.push_back(*begun);
    ++seen.leases;
  } else if (!leases.empty()) {
    engine->end_lease(leases.front());
    leases.pop_front();
  }
}

void Reference::map_or_unmap(const Request& request) {
  const mapping::Request asked{
      .verb = request.what == Do::map ? mapping::Verb::map : mapping::Verb::unmap,
      .parts = {part_of(request)},
      .devices =
          request.flag ? std::vector<int>{0, 1} : std::vector<int>{request.device % device_count},
      .access = Access::write};
  auto task = engine->mappings().start(asked, device::Clock::time_point::max());
  if (!was_done(task)) return;
  if (was_done(engine->mappings().wait(**task, {})) && request.what == Do::map) ++seen.mappings;
}

// A kernel of either device stores to the mapped memory, which its launch need not name; the host
// copies it; it moves to the host or back.
void Reference::use_mapped(const Request& request) {
  const std::size_t first = word_of(request.first % mapped_cells);
  if (request.what == Do::write_mapped) {
    const auto done = launch(request.device % device_count, "fill",
                             sluice_soft_fill{mapped + first, request.value}, cell_words,
                             {{span(mapped + first, cell), Access::write}});
    if (!was_done(done)) return;
    expect_done(done);
    std::fill_n(&expected_mapped[first], cell_words, request.value);
  } else if (request.what == Do::read_mapped) {
    std::vector<std::uint32_t> got(cell_words);
    if (!was_done(engine->copy(got.data(), mapped + first, cell))) return;
    ASSERT_TRUE(std::equal(got.begin(), got.end(), &expected_mapped[first]));
  } else {
    MappingReport report;
    const Location to = request.flag ? Location::host() : Location::device(0);
    const auto moved = engine->relocate(span(mapped, mapped_cells * cell), to, report);
    // It waits for what runs for some intervals only.
    if (!moved && moved.error().code() == ErrorCode::timed_out) return;
    if (was_done(moved)) ++seen.moves;
  }
}

void Reference::make(const Request& request) {
  switch (request.what) {
    case Do::load:
    case Do::store:
      return touch(request);
    case Do::fill:
    case Do::mix:
      return launch_on(request);
    case Do::reduce:
      return reduce(request);
    case Do::copy:
      return copy(request);
    case Do::discard:
      if (was_done(engine->discard(part_of(request))))
        std::fill_n(&expected[word_of(request.first)], request.count * cell_words, 0);
      return;
    case Do::prefetch:
      EXPECT_TRUE(engine->prefetch(part_of(request), location_of(request)));
      return;
    case Do::advise:
      return give_advice(request);
    case Do::lease:
    case Do::end_lease:
      return lease(request);
    case Do::map:
    case Do::unmap:
      return map_or_unmap(request);
    case Do::write_mapped:
    case Do::read_mapped:
    case Do::relocate:
      return use_mapped(request);
  }
}

void Reference::expect_everything() {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) wrong += data[i] != expected[i] ? 1 : 0;
  EXPECT_EQ(wrong, 0U) << "words of the shared range";
  std::vector<std::uint32_t> got(expected_mapped.size());
  ASSERT_TRUE(engine->copy(got.data(), mapped, mapped_cells * cell));
  EXPECT_TRUE(got == expected_mapped) << "words of the mapped range";
}

TEST_P(Reference, every_request_does_what_it_does_on_plain_memory) {
  const char* const again = std::getenv("SLUICE_REFERENCE_SEED");
  const std::uint64_t first =
      again != nullptr ? std::strtoull(again, nullptr, 10) : std::random_device()();
  constexpr int most_rounds = 100;
  const int rounds = again != nullptr ? 1 : usual_rounds;
  for (int round = 0; round < rounds || (again == nullptr && round < most_rounds && !seen.all());
       ++round) {
    const std::uint64_t seed = first + static_cast<std::uint64_t>(round);
    SCOPED_TRACE("SLUICE_REFERENCE_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    open_tight();
    if (HasFatalFailure()) return;
    std::ostringstream made;
    for (int number = 0; number < 80 && !HasFailure(); ++number) {
      const Request request = any_request(random);
      made << "  " << request << "\n";
      make(request);
    }
    close();
    ASSERT_FALSE(HasFailure()) << "after\n" << made.str();
  }
  EXPECT_TRUE(again != nullptr || seen.all())
      << "host-mapped " << seen.host_mapped << ", leases " << seen.leases << ", mappings "
      << seen.mappings << ", moves " << seen.moves;
}

INSTANTIATE_TEST_SUITE_P(grades, Reference,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::engine
