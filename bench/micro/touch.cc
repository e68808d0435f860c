/* SPDX-License-Identifier: MIT */
/* First touch: of heap memory in blocks of one size, and of fresh mappings. */
#include <cstdlib>
#include <cstring>
#include <thread>

#include <sys/mman.h>

#include "worker.h"

namespace
{

void touch_blocks(size_t block, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void *p = std::malloc(block);

		if (!p)
			std::abort();
		std::memset(p, 1, block);
		benchmark::DoNotOptimize(p);
	}
}

/* args: block, total, threads that do it (0: the main thread does) */
void touch_here(const std::vector<size_t> &args, worker::Result &result)
{
	const size_t block = args[0], count = args[1] / block, threads = args[2];
	std::vector<std::thread> started;
	long before = measure::minor_faults();
	uint64_t start = measure::now_ns();

	started.reserve(threads);
	for (size_t i = 0; i < threads; i++)
		started.emplace_back(touch_blocks, block, count / threads);
	if (!threads)
		touch_blocks(block, count);
	for (std::thread &thread : started)
		thread.join();
	result.time_ns = measure::now_ns() - start;
	result.values[0] = static_cast<double>(measure::minor_faults() - before);
	result.values[1] = static_cast<double>(measure::resident().rss_bytes);
	result.done = true;
}

const worker::Task touch_task{"first_touch", touch_here};

/*
 * block, total, workers. In a process of its own for each iteration, so that all memory is fresh
 * under every allocator. workers:0 is the main thread: some allocators serve it in another way
 * than others.
 */
void first_touch(benchmark::State &state)
{
	const size_t block = static_cast<size_t>(state.range(0));
	const size_t total = static_cast<size_t>(state.range(1));
	worker::Result result;
	double faults = 0, rss = 0;

	measure::prime(total);
	for (auto _ : state) {
		if (!worker::iterate(state, touch_task,
			    {block, total, static_cast<size_t>(state.range(2))}, result))
			break;
		faults += result.values[0];
		rss += result.values[1];
	}
	state.SetBytesProcessed(state.iterations() * state.range(1));
	state.counters["faults"] = benchmark::Counter(faults, benchmark::Counter::kAvgIterations);
	state.counters["rss_bytes"] = benchmark::Counter(rss, benchmark::Counter::kAvgIterations);
}

/* total, shared: a fresh mapping; that it is made and goes is in the time. */
void map_touch(benchmark::State &state)
{
	const size_t len = static_cast<size_t>(state.range(0));
	const int flags = MAP_ANONYMOUS | (state.range(1) ? MAP_SHARED : MAP_PRIVATE);
	long faults = 0;

	measure::prime(len);
	for (auto _ : state) {
		long before = measure::minor_faults();
		void *p = mmap(nullptr, len, PROT_READ | PROT_WRITE, flags, -1, 0);

		if (p == MAP_FAILED) {
			state.SkipWithError("mmap failed");
			break;
		}
		std::memset(p, 1, len);
		faults += measure::minor_faults() - before;
		munmap(p, len);
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
	state.counters["faults"] =
		benchmark::Counter(static_cast<double>(faults), benchmark::Counter::kAvgIterations);
}

void touch_sizes(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgNames({"block", "total", "workers"});
	for (int64_t total : {8 << 20, 64 << 20, 512 << 20}) {
		for (int64_t block : {64, 512, 4096, 65536, 1 << 20, 8 << 20}) {
			benchmark->Args({block, total, 0});
			if (2 * block <= total)
				benchmark->Args({block, total, 2});
		}
	}
}

} // namespace

BENCHMARK(first_touch)->Apply(touch_sizes)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(map_touch)
	->ArgNames({"total", "shared"})
	->ArgsProduct({{65536, 1 << 20, 8 << 20, 64 << 20, 512 << 20}, {0, 1}})
	->UseRealTime()
	->Unit(benchmark::kMillisecond);
