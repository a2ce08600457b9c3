// Catch2, which sets handlers for SIGSEGV and others around each test case, and twenty cases that
// allocate, prefetch, run a kernel and touch from the host. Under drivers that answer host accesses
// in a SIGSEGV handler the first touch after a kernel dies here.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <cstdint>
#include <numeric>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void twice(global int* data) { data[get_global_id(0)] *= 2; }
kernel void combine(global int* to, global const int* a, global const int* b) {
  const size_t i = get_global_id(0);
  to[i] = a[i] + b[i];
}
)";

const usm::World& world() {
  static const usm::World only;
  return only;
}

void prefetch(const void* pointer, std::size_t size, cl_mem_migration_flags to) {
  cl_event event = nullptr;
  MUST(world().migrate(world().queue, pointer, size, to, 0, nullptr, &event));
  MUST(clWaitForEvents(1, &event));
  MUST(clReleaseEvent(event));
}

// Allocates, writes, prefetches, doubles with a kernel, reads.
void doubles(std::size_t count, bool to_device, bool to_host) {
  const cl_kernel twice = world().kernel(source, "twice");
  int* const data = world().shared<int>(count);
  std::iota(data, data + count, 1);
  if (to_device) prefetch(data, count * sizeof(int), 0);
  MUST(world().set_pointer(twice, 0, data));
  world().run(twice, count);
  if (to_host) prefetch(data, count * sizeof(int), CL_MIGRATE_MEM_OBJECT_HOST);
  MUST(clFinish(world().queue));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) wrong += data[i] != 2 * static_cast<int>(i + 1) ? 1 : 0;
  CHECK(wrong == 0);
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

}  // namespace

TEST_CASE("1 one word") { doubles(1, false, false); }
TEST_CASE("2 one page") { doubles(1024, false, false); }
TEST_CASE("3 a page and a word") { doubles(1025, false, false); }
TEST_CASE("4 one block") { doubles(524288, false, false); }
TEST_CASE("5 blocks and a word") { doubles(2 * 524288 + 1, false, false); }
TEST_CASE("6 prefetched to the device") { doubles(100000, true, false); }
TEST_CASE("7 prefetched to the host") { doubles(100000, false, true); }
TEST_CASE("8 prefetched both ways") { doubles(100000, true, true); }

TEST_CASE("9 a kernel again and again") {
  const cl_kernel twice = world().kernel(source, "twice");
  int* const data = world().shared<int>(5000);
  std::fill_n(data, 5000, 1);
  MUST(world().set_pointer(twice, 0, data));
  for (int round = 1; round <= 10; ++round) {
    world().run(twice, 5000);
    MUST(clFinish(world().queue));
    CHECK(data[4999] == 1 << round);
  }
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("10 host and kernel in turns") {
  const cl_kernel twice = world().kernel(source, "twice");
  int* const data = world().shared<int>(300000);
  std::fill_n(data, 300000, 1);
  MUST(world().set_pointer(twice, 0, data));
  int truth = 1;
  for (int round = 0; round < 6; ++round) {
    world().run(twice, 300000);
    MUST(clFinish(world().queue));
    truth = 2 * truth + 1;
    for (int i = 0; i < 300000; i += 1000) data[i] += 1;
    CHECK(data[1000 * round] == truth);
  }
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("11 three allocations") {
  const cl_kernel combine = world().kernel(source, "combine");
  int* const to = world().shared<int>(20000);
  int* const a = world().shared<int>(20000);
  int* const b = world().shared<int>(20000);
  std::fill_n(a, 20000, 40);
  std::fill_n(b, 20000, 2);
  MUST(world().set_pointer(combine, 0, to));
  MUST(world().set_pointer(combine, 1, a));
  MUST(world().set_pointer(combine, 2, b));
  world().run(combine, 20000);
  MUST(clFinish(world().queue));
  CHECK(std::accumulate(to, to + 20000, 0) == 42 * 20000);
  CHECK(a[19999] + b[19999] == 42);
  for (int* one : {to, a, b}) MUST(world().free(world().context, one));
  clReleaseKernel(combine);
}

TEST_CASE("12 a pointer into an allocation") {
  const cl_kernel twice = world().kernel(source, "twice");
  int* const data = world().shared<int>(100000);
  std::fill_n(data, 100000, 3);
  MUST(world().set_pointer(twice, 0, data + 8192));
  world().run(twice, 1000);
  MUST(clFinish(world().queue));
  CHECK(data[8191] == 3);
  CHECK(data[8192] == 6);
  CHECK(data[9191] == 6);
  CHECK(data[9192] == 3);
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("13 fill") {
  int* const data = world().shared<int>(100000);
  const int pattern = 1234567;
  MUST(world().fill(world().queue, data + 16, &pattern, 4, 4 * 50000, 0, nullptr, nullptr));
  MUST(clFinish(world().queue));
  CHECK(std::count(data, data + 100000, pattern) == 50000);
  MUST(world().free(world().context, data));
}

TEST_CASE("14 copies of all sides") {
  int* const a = world().shared<int>(30000);
  int* const b = world().shared<int>(30000);
  std::vector<int> plain(30000);
  std::iota(plain.begin(), plain.end(), 7);
  MUST(world().copy(world().queue, CL_TRUE, a, plain.data(), 120000, 0, nullptr, nullptr));
  MUST(world().copy(world().queue, CL_TRUE, b, a, 120000, 0, nullptr, nullptr));
  std::vector<int> back(30000);
  MUST(world().copy(world().queue, CL_TRUE, back.data(), b, 120000, 0, nullptr, nullptr));
  CHECK(back == plain);
  CHECK(std::equal(plain.begin(), plain.end(), b));
  MUST(world().free(world().context, a));
  MUST(world().free(world().context, b));
}

TEST_CASE("15 memory of the device's own") {
  cl_int status = CL_SUCCESS;
  void* const data =
      world().device_alloc(world().context, world().device, nullptr, 4000, 0, &status);
  REQUIRE(status == CL_SUCCESS);
  const cl_kernel twice = world().kernel(source, "twice");
  const int one = 21;
  MUST(world().fill(world().queue, data, &one, 4, 4000, 0, nullptr, nullptr));
  MUST(world().set_pointer(twice, 0, data));
  world().run(twice, 1000);
  std::vector<int> back(1000);
  MUST(world().copy(world().queue, CL_TRUE, back.data(), data, 4000, 0, nullptr, nullptr));
  CHECK(std::count(back.begin(), back.end(), 42) == 1000);
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("16 memory of the host's own") {
  cl_int status = CL_SUCCESS;
  auto* const data =
      static_cast<int*>(world().host_alloc(world().context, nullptr, 400000, 0, &status));
  REQUIRE(status == CL_SUCCESS);
  const cl_kernel twice = world().kernel(source, "twice");
  std::fill_n(data, 100000, 21);
  MUST(world().set_pointer(twice, 0, data));
  world().run(twice, 100000);
  MUST(clFinish(world().queue));
  CHECK(std::count(data, data + 100000, 42) == 100000);
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("17 a thousand small allocations") {
  const cl_kernel twice = world().kernel(source, "twice");
  std::vector<int*> pieces;
  for (int i = 0; i < 1000; ++i) {
    pieces.push_back(world().shared<int>(4));
    *pieces.back() = i;
  }
  for (int i = 0; i < 1000; i += 50) {
    MUST(world().set_pointer(twice, 0, pieces[i]));
    world().run(twice, 1);
  }
  MUST(clFinish(world().queue));
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) wrong += *pieces[i] != (i % 50 == 0 ? 2 * i : i) ? 1 : 0;
  CHECK(wrong == 0);
  for (int* piece : pieces) MUST(world().free(world().context, piece));
  clReleaseKernel(twice);
}

TEST_CASE("18 advice") {
  int* const data = world().shared<int>(100000);
  for (const cl_mem_advice_intel advice : {0x4208U, 0x4209U, 0x420AU, 0x420BU, 0x420FU, 0x0U})
    CHECK(world().advise(world().queue, data, 400000, advice, 0, nullptr, nullptr) == CL_SUCCESS);
  MUST(clFinish(world().queue));
  MUST(world().free(world().context, data));
}

TEST_CASE("19 an exception past managed memory") {
  const cl_kernel twice = world().kernel(source, "twice");
  int* const data = world().shared<int>(1000);
  std::fill_n(data, 1000, 1);
  MUST(world().set_pointer(twice, 0, data));
  world().run(twice, 1000);
  MUST(clFinish(world().queue));
  CHECK_THROWS_AS([&] { throw data[999]; }(), int);
  MUST(world().free(world().context, data));
  clReleaseKernel(twice);
}

TEST_CASE("20 freed while the queue is busy") {
  const cl_kernel twice = world().kernel(source, "twice");
  for (int round = 0; round < 20; ++round) {
    int* const data = world().shared<int>(1 << 20);
    data[5] = 1;
    MUST(world().set_pointer(twice, 0, data));
    world().run(twice, 1 << 20);
    MUST(world().blocking_free(world().context, data));
  }
  clReleaseKernel(twice);
  SUCCEED();
}
