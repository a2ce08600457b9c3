// Breadth-first search, level by level, over a graph of 4 million vertices and 67 million edges
// (about 300 MiB) that the host makes: most edges lead near by, one in 256 anywhere. The host reads
// the size of each level before it launches the next. At the end it compares every vertex's level
// with a search of its own, made once and not timed.
#include <array>

#include "bench/program_kernels.hpp"
#include "bench/programs.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::uint32_t vertices = std::uint32_t{1} << 22;
constexpr std::uint32_t near_by = 1 << 14;
constexpr std::uint32_t root = 12345;
constexpr std::size_t most_levels = 1024;

std::uint32_t degree_of(std::uint32_t vertex) {
  return 8 + static_cast<std::uint32_t>(scattered(vertex) % 17);
}

std::uint32_t target_of(std::uint32_t vertex, std::uint32_t edge) {
  const std::uint64_t chance = scattered((std::uint64_t{vertex} << 8) + edge + (1ULL << 60));
  const auto number = static_cast<std::uint32_t>(chance >> 20);
  if (chance % 256 == 0) return number % vertices;
  return (vertex + number % near_by - near_by / 2) % vertices;
}

std::size_t count_edges() {
  std::size_t edges = 0;
  for (std::uint32_t vertex = 0; vertex < vertices; ++vertex) edges += degree_of(vertex);
  return edges;
}

// The host's own search.
std::vector<std::uint32_t> search() {
  std::vector<std::uint32_t> levels(vertices, unseen);
  std::vector<std::uint32_t> order{root};
  levels[root] = 0;
  for (std::size_t next = 0; next < order.size(); ++next) {
    const std::uint32_t vertex = order[next];
    for (std::uint32_t edge = 0; edge < degree_of(vertex); ++edge) {
      const std::uint32_t target = target_of(vertex, edge);
      if (levels[target] != unseen) continue;
      levels[target] = levels[vertex] + 1;
      order.push_back(target);
    }
  }
  return levels;
}

struct Known {
  std::size_t edges = count_edges();
  std::vector<std::uint32_t> levels = search();
};
const Known& known() {
  static const Known known;
  return known;
}

class BreadthFirst final : public Program {
 public:
  BreadthFirst(ProgramMemory& memory, const ProgramKernels& kernels)
      : memory_(memory),
        start_(kernels["bfs_start"]),
        level_(kernels["bfs_level"]),
        publish_(kernels["bfs_publish"]),
        begins_(memory.array<std::uint32_t>(vertices + 1, Role::input)),
        targets_(memory.array<std::uint32_t>(known().edges, Role::input)),
        levels_(memory.array<std::uint32_t>(vertices, Role::output)),
        fronts_{memory.array<std::uint32_t>(vertices, Role::scratch),
                memory.array<std::uint32_t>(vertices, Role::scratch)},
        counts_(memory.array<std::uint32_t>(most_levels + 1, Role::scratch)),
        front_size_(memory.array<std::uint32_t>(1, Role::word)) {}

  void run() override {
    set_up();
    search_on_card();
    check();
  }

 private:
  void set_up() {
    memory_.before_writing(begins_);
    memory_.before_writing(targets_);
    std::array<std::uint32_t, 64> edges{};  // of each thread's vertices
    in_parts(vertices, [&](std::size_t begin, std::size_t end, std::size_t part) {
      for (std::size_t v = begin; v < end; ++v)
        edges[part] += degree_of(static_cast<std::uint32_t>(v));
    });
    in_parts(vertices, [&](std::size_t begin, std::size_t end, std::size_t part) {
      std::uint32_t at = 0;
      for (std::size_t before = 0; before < part; ++before) at += edges[before];
      for (auto v = static_cast<std::uint32_t>(begin); v < end; ++v) {
        begins_.host[v] = at;
        for (std::uint32_t edge = 0; edge < degree_of(v); ++edge)
          targets_.host[at++] = target_of(v, edge);
      }
    });
    begins_.host[vertices] = static_cast<std::uint32_t>(targets_.count);
    memory_.after_writing(begins_);
    memory_.after_writing(targets_);
  }

  void search_on_card() {
    std::uint32_t front = 1;
    for (std::uint32_t level = 1; front != 0; ++level) {
      if (level >= most_levels) throw CannotRun("breadth-first search does not end");
      const Array<std::uint32_t>& from = fronts_[(level - 1) % 2];
      const Array<std::uint32_t>& to = fronts_[level % 2];
      memory_.on_card({reads(begins_), reads(targets_), writes(levels_), writes(fronts_[0]),
                       writes(fronts_[1]), writes(counts_), writes(front_size_)},
                      [&] {
                        if (level == 1) start();
                        std::uint32_t* const count = counts_.card + level;
                        memory_.launch(level_,
                                       BfsLevel{begins_.card, targets_.card, from.card,
                                                levels_.card, to.card, count, level},
                                       front);
                        publish(count);
                      });
      memory_.wait();
      front = *static_cast<const volatile std::uint32_t*>(front_size_.host);
    }
  }
  // Publishing one level's count sets the next one's to zero.
  void start() {
    memory_.launch(start_, BfsStart{levels_.card, fronts_[0].card, root}, vertices);
    publish(counts_.card);
  }
  void publish(std::uint32_t* count) {
    memory_.launch(publish_, BfsPublish{front_size_.card, count, count + 1}, 1);
  }

  void check() {
    memory_.before_reading(levels_);
    const std::vector<std::uint32_t>& expected = known().levels;
    in_parts(vertices, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t v = begin; v < end; ++v)
        if (levels_.host[v] != expected[v]) throw CannotRun("breadth-first search: a wrong level");
    });
  }

  ProgramMemory& memory_;
  const device::cuda::CUfunction start_, level_, publish_;
  const Array<std::uint32_t> begins_, targets_, levels_;
  const std::array<Array<std::uint32_t>, 2> fronts_;
  const Array<std::uint32_t> counts_, front_size_;
};

}  // namespace

std::unique_ptr<Program> breadth_first(ProgramMemory& memory, const ProgramKernels& kernels) {
  return std::make_unique<BreadthFirst>(memory, kernels);
}

}  // namespace sluice::tool::bench
