/* SPDX-License-Identifier: MIT */
/*
 * Small benchmarks of the allocator in the process, whichever it is: run it with and without
 * LD_PRELOAD=libpg64.so. Each reports minor faults an iteration beside the time, because on a
 * machine whose memory comes from a host the faults are steadier than the time.
 *
 *     build/bench/micro --benchmark_out=result.json --benchmark_out_format=json
 */
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <vector>

#include <benchmark/benchmark.h>

namespace
{

long minor_faults()
{
	rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* First touch of fresh heap memory in blocks of range(0) bytes, range(1) bytes in all. */
void first_touch(benchmark::State &state)
{
	const size_t block = state.range(0), count = state.range(1) / block;
	std::vector<void *> blocks(count);
	long faults = 0;

	for (auto _ : state) {
		long before = minor_faults();
		for (void *&b : blocks) {
			b = std::malloc(block);
			std::memset(b, 1, block);
		}
		faults += minor_faults() - before;
		state.PauseTiming();
		for (void *b : blocks)
			std::free(b);
		/* Back to the kernel, so that the next touch is a first one again. */
		malloc_trim(0);
		state.ResumeTiming();
	}
	state.SetBytesProcessed(state.iterations() * count * block);
	state.counters["faults"] = benchmark::Counter(faults, benchmark::Counter::kAvgIterations);
}

/* First touch of a fresh mapping of range(0) bytes; shared if range(1). */
void map_touch(benchmark::State &state)
{
	const size_t len = state.range(0);
	const int flags = MAP_ANONYMOUS | (state.range(1) ? MAP_SHARED : MAP_PRIVATE);
	long faults = 0;

	for (auto _ : state) {
		long before = minor_faults();
		void *p = mmap(nullptr, len, PROT_READ | PROT_WRITE, flags, -1, 0);
		if (p == MAP_FAILED) {
			state.SkipWithError("mmap failed");
			break;
		}
		std::memset(p, 1, len);
		faults += minor_faults() - before;
		munmap(p, len);
	}
	state.SetBytesProcessed(state.iterations() * len);
	state.counters["faults"] = benchmark::Counter(faults, benchmark::Counter::kAvgIterations);
}

/* One malloc and one free of mixed small sizes, range(0) blocks alive. */
void churn(benchmark::State &state)
{
	std::vector<void *> blocks(state.range(0));
	unsigned random = 1;

	for (auto _ : state) {
		random = random * 1664525 + 1013904223;
		void *&b = blocks[(random >> 16) % blocks.size()];
		std::free(b);
		b = std::malloc(16 + (random >> 8) % 512);
		benchmark::DoNotOptimize(b);
	}
	for (void *b : blocks)
		std::free(b);
}

} // namespace

BENCHMARK(first_touch)
	->ArgsProduct({{64, 4096, 65536, 1 << 20}, {64 << 20}})
	->Unit(benchmark::kMillisecond);
BENCHMARK(map_touch)->ArgsProduct({{1 << 20, 64 << 20}, {0, 1}})->Unit(benchmark::kMillisecond);
BENCHMARK(churn)->Arg(256)->Arg(65536)->ThreadRange(1, 2);

BENCHMARK_MAIN();
