// A linked list and a binary tree, built by the host in shared memory, walked and changed by a
// kernel that follows the pointers it finds, and read by the host. Each node is an allocation of
// its own. Ends with 0 and "structures: PASS".
#include <cstdint>

#include "usm.hpp"

namespace {

struct Node {
  Node* next;
  Node* left;
  Node* right;
  std::int64_t value;
};

constexpr const char* source = R"(
struct node { global struct node* next; global struct node* left; global struct node* right; long value; };

kernel void walk(global struct node* head, global long* sum) {
  long total = 0;
  for (global struct node* at = head; at != 0; at = at->next) {
    total += at->value;
    at->value = 3 * at->value + 1;
  }
  *sum = total;
}

kernel void climb(global struct node* root, global long* sum) {
  global struct node* waiting[64];
  int count = 0;
  long total = 0;
  if (root != 0) waiting[count++] = root;
  while (count > 0) {
    global struct node* at = waiting[--count];
    total += at->value;
    at->value = -at->value;
    global struct node* swapped = at->left;
    at->left = at->right;
    at->right = swapped;
    if (at->left != 0) waiting[count++] = at->left;
    if (at->right != 0) waiting[count++] = at->right;
  }
  *sum = total;
}
)";

int failures = 0;

void expect(bool truth, const char* what, long long have, long long want) {
  if (truth) return;
  if (failures++ < 5) std::fprintf(stderr, "%s: %lld instead of %lld\n", what, have, want);
}

void insert(const usm::World& world, Node*& at, std::int64_t value, std::vector<Node*>& nodes) {
  Node** place = &at;
  while (*place != nullptr) place = value < (*place)->value ? &(*place)->left : &(*place)->right;
  *place = world.shared<Node>(1);
  **place = {nullptr, nullptr, nullptr, value};
  nodes.push_back(*place);
}

// After climbing, left holds the greater values and all are negative: in order from the left they
// rise again.
void check_tree(const Node* at, std::int64_t& last, std::size_t& count) {
  if (at == nullptr) return;
  check_tree(at->left, last, count);
  expect(at->value > last, "order in the tree", at->value, last);
  last = at->value;
  ++count;
  check_tree(at->right, last, count);
}

void list(const usm::World& world, int length, int rounds) {
  const cl_kernel walk = world.kernel(source, "walk");
  auto* const sum = world.shared<std::int64_t>(1);
  std::vector<Node*> nodes;
  Node* head = nullptr;
  for (int i = 0; i < length; ++i) {
    Node* const node = world.shared<Node>(1);
    *node = {head, nullptr, nullptr, i};
    nodes.push_back(node);
    head = node;
  }
  world.allow_indirect(walk);
  for (int round = 0; round < rounds; ++round) {
    std::int64_t want = 0;
    for (const Node* at = head; at != nullptr; at = at->next) want += at->value;
    std::vector<std::int64_t> before;
    for (const Node* node : nodes) before.push_back(node->value);
    MUST(world.set_pointer(walk, 0, head));
    MUST(world.set_pointer(walk, 1, sum));
    world.run(walk, 1);
    // Where pages move, the host's first access waits for the kernel.
    if (world.shares_at_once()) MUST(clFinish(world.queue));
    expect(*sum == want, "sum of the list", *sum, want);
    for (std::size_t i = 0; i < nodes.size(); ++i)
      expect(nodes[i]->value == 3 * before[i] + 1, "value in the list", nodes[i]->value,
             3 * before[i] + 1);
    // The host changes the structure between two walks: the last node goes to the front.
    Node* at = head;
    while (at->next->next != nullptr) at = at->next;
    at->next->next = head;
    head = at->next;
    at->next = nullptr;
    for (Node* node : nodes) node->value %= 1000;
  }
  MUST(clFinish(world.queue));
  for (Node* node : nodes) MUST(world.free(world.context, node));
  MUST(world.free(world.context, sum));
  clReleaseKernel(walk);
}

void tree(const usm::World& world, int size) {
  const cl_kernel climb = world.kernel(source, "climb");
  auto* const sum = world.shared<std::int64_t>(1);
  std::vector<Node*> nodes;
  Node* root = nullptr;
  std::int64_t want = 0;
  std::uint32_t random = 12345;
  for (int i = 0; i < size; ++i) {
    random = random * 1664525U + 1013904223U;
    const auto value = static_cast<std::int64_t>(1 + (random >> 8)) * 1000 + i;
    insert(world, root, value, nodes);
    want += value;
  }
  world.allow_indirect(climb);
  MUST(world.set_pointer(climb, 0, root));
  MUST(world.set_pointer(climb, 1, sum));
  world.run(climb, 1);
  MUST(clFinish(world.queue));
  expect(*sum == want, "sum of the tree", *sum, want);
  std::int64_t last = INT64_MIN;
  std::size_t count = 0;
  check_tree(root, last, count);
  expect(count == nodes.size(), "nodes in the tree", static_cast<long long>(count), size);
  for (Node* node : nodes) MUST(world.blocking_free(world.context, node));
  MUST(world.free(world.context, sum));
  clReleaseKernel(climb);
}

}  // namespace

int main() {
  const usm::World world;
  list(world, 500, 5);
  tree(world, 500);
  std::printf("structures: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
