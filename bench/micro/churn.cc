/* SPDX-License-Identifier: MIT */
/* malloc and free in steady state: over size classes and threads, grown blocks, aligned blocks. */
#include <cstdlib>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "measure.h"

namespace
{

/* size 0 means mixed: 16 to 1023 bytes, fewer large ones than small ones. */
size_t size_of_next(size_t size, uint64_t random)
{
	return size ? size : 16 + (random >> 48) % (1008 >> (random & 3));
}

/* size, live: one free and one malloc of a random one of `live` blocks of each thread. */
void churn(benchmark::State &state)
{
	const size_t size = static_cast<size_t>(state.range(0));
	std::vector<char *> blocks(static_cast<size_t>(state.range(1)));
	uint64_t random = static_cast<uint64_t>(state.thread_index());

	for (auto _ : state) {
		uint64_t bits = measure::random_next(random);
		char *&block = blocks[(bits >> 8) % blocks.size()];

		std::free(block);
		block = static_cast<char *>(std::malloc(size_of_next(size, bits)));
		block[0] = 1;
		benchmark::DoNotOptimize(block);
	}
	for (char *block : blocks)
		std::free(block);
	state.SetItemsProcessed(state.iterations());
}

void churn_sizes(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgNames({"size", "live"});
	for (int64_t size : {0, 16, 64, 256, 1024, 4096, 32768, 262144}) {
		for (int64_t live : {256, 16384}) {
			/* More would be a test of how much memory there is. */
			if (size * live <= 16 << 20 || live == 256)
				benchmark->Args({size, live});
		}
	}
	for (int threads : {1, 2, 4, 8})
		benchmark->Threads(threads);
}

/* One block from nothing to `to` bytes; false when there was no memory. Counts the calls. */
bool grow(size_t to, size_t by, int64_t &calls)
{
	char *block = nullptr;

	for (size_t had = 0; had < to; calls++) {
		size_t size = had + (by ? by : had / 2 + 16);
		char *grown = static_cast<char *>(std::realloc(block, size));

		if (!grown) {
			std::free(block);
			return false;
		}
		block = grown;
		std::memset(block + had, 1, size - had);
		had = size;
	}
	benchmark::DoNotOptimize(block);
	std::free(block);
	return true;
}

/* to, by: a block that grows to `to` bytes, by `by` bytes a time, or by half if by is 0. */
void realloc_growth(benchmark::State &state)
{
	const size_t to = static_cast<size_t>(state.range(0)),
		     by = static_cast<size_t>(state.range(1));
	long before = measure::minor_faults();
	int64_t calls = 0;

	for (auto _ : state) {
		if (!grow(to, by, calls)) {
			state.SkipWithError("realloc failed");
			break;
		}
	}
	state.SetItemsProcessed(calls);
	state.counters["faults"] =
		benchmark::Counter(static_cast<double>(measure::minor_faults() - before),
			benchmark::Counter::kAvgIterations);
}

/* align, size: as churn, with posix_memalign and 64 blocks alive. */
void aligned_churn(benchmark::State &state)
{
	const size_t align = static_cast<size_t>(state.range(0));
	const size_t size = static_cast<size_t>(state.range(1));
	char *blocks[64] = {};
	uint64_t random = 1;

	for (auto _ : state) {
		char *&block = blocks[measure::random_next(random) >> 58];
		void *fresh = nullptr;

		std::free(block);
		block = nullptr;
		if (posix_memalign(&fresh, align, size) ||
			reinterpret_cast<uintptr_t>(fresh) % align) {
			state.SkipWithError("posix_memalign failed");
			break;
		}
		block = static_cast<char *>(fresh);
		block[0] = 1;
		benchmark::DoNotOptimize(block);
	}
	for (char *block : blocks)
		std::free(block);
	state.SetItemsProcessed(state.iterations());
}

} // namespace

BENCHMARK(churn)->Apply(churn_sizes)->UseRealTime();
BENCHMARK(realloc_growth)
	->ArgNames({"to", "by"})
	->ArgsProduct({{65536, 1 << 20, 64 << 20}, {0, 4096, 65536}})
	->Unit(benchmark::kMicrosecond);
BENCHMARK(aligned_churn)
	->ArgNames({"align", "size"})
	->ArgsProduct({{64, 4096, 65536, 2 << 20}, {64, 4096, 65536}});
