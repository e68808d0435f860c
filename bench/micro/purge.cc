/* SPDX-License-Identifier: MIT */
/* What a process keeps of the memory that it freed: at once, a second later, and once trimmed. */
#include <cstdlib>
#include <cstring>

#include <malloc.h>
#include <unistd.h>

#include "worker.h"

namespace
{

constexpr unsigned kTicks = 100;
constexpr useconds_t kTick_us = 10000;

enum Value { kFull, kFreed, kLater, kTrimmed };

double rss()
{
	return static_cast<double>(measure::resident().rss_bytes);
}

/* A second with a few calls in it: allocators that purge by time look at the clock in a call. */
void idle_a_second()
{
	for (unsigned i = 0; i < kTicks; i++) {
		void *block = std::malloc(100);

		benchmark::DoNotOptimize(block);
		std::free(block);
		usleep(kTick_us);
	}
}

/* args: block, total, keep one in so many (0: none) */
void purge_here(const std::vector<size_t> &args, worker::Result &result)
{
	const size_t block = args[0], keep = args[2];
	std::vector<void *> blocks(args[1] / block);
	uint64_t start;

	for (void *&p : blocks) {
		p = std::malloc(block);
		if (!p)
			return;
		std::memset(p, 1, block);
	}
	result.values[kFull] = rss();
	start = measure::now_ns();
	for (size_t i = 0; i < blocks.size(); i++) {
		if (!keep || i % keep)
			std::free(blocks[i]);
	}
	result.time_ns = measure::now_ns() - start;
	result.values[kFreed] = rss();
	idle_a_second();
	result.values[kLater] = rss();
	/* That of the C library, if the allocator has none of its own. */
	malloc_trim(0);
	result.values[kTrimmed] = rss();
	result.done = true;
}

const worker::Task purge_task{"purge", purge_here};

/* block, total, keep_one_in. The time is that of all calls of free. */
void purge(benchmark::State &state)
{
	static const char *const names[] = {
		"rss_full_bytes", "rss_freed_bytes", "rss_after_1s_bytes", "rss_trimmed_bytes"};
	double sums[4] = {};

	measure::prime(static_cast<size_t>(state.range(1)));
	for (auto _ : state) {
		worker::Result result;

		if (!worker::iterate(state, purge_task,
			    {static_cast<size_t>(state.range(0)),
				    static_cast<size_t>(state.range(1)),
				    static_cast<size_t>(state.range(2))},
			    result))
			break;
		for (size_t i = 0; i < 4; i++)
			sums[i] += result.values[i];
	}
	for (size_t i = 0; i < 4; i++)
		state.counters[names[i]] =
			benchmark::Counter(sums[i], benchmark::Counter::kAvgIterations);
	state.counters["rss_bytes"] =
		benchmark::Counter(sums[kFreed], benchmark::Counter::kAvgIterations);
}

} // namespace

BENCHMARK(purge)
	->ArgNames({"block", "total", "keep_one_in"})
	->ArgsProduct({{64, 1024, 16384, 262144}, {64 << 20}, {0, 16}})
	->Iterations(3)
	->UseManualTime()
	->Unit(benchmark::kMillisecond);
