/* SPDX-License-Identifier: MIT */
/*
 * Random reads of 8 bytes over memory from malloc. Independent ones, of which the processor has
 * several under way, and dependent ones (a pointer chase), each of which waits for the one before.
 * What page size saves here is TLB misses: they are counted where the machine has counters.
 */
#include <cstdlib>

#include <benchmark/benchmark.h>

#include "measure.h"

namespace
{

constexpr size_t kLine = 64, kReads = 1024;
constexpr uint64_t kReserve = 512 << 20;

/* One word in each cache line holds the number of the line that comes next. */
struct Memory {
	char *start = nullptr;
	size_t total = 0;

	~Memory()
	{
		std::free(start);
	}
	uint64_t &line(uint64_t i)
	{
		return *reinterpret_cast<uint64_t *>(start + i * kLine);
	}
	bool make(size_t bytes);
};

/*
 * A single cycle through all lines that is written from front to back: x -> a x + c (mod 2^k) has
 * one cycle when c is odd and a = 1 (mod 4). Its low bits repeat soon, so line numbers are
 * scrambled with a mapping that is its own inverse; that renames the lines of the cycle and
 * leaves it one cycle.
 */
bool Memory::make(size_t bytes)
{
	const uint64_t lines = bytes / kLine, mask = lines - 1;
	const unsigned half = (static_cast<unsigned>(__builtin_ctzll(lines)) + 1) / 2;

	if (total == bytes)
		return true;
	std::free(start);
	total = 0;
	start = nullptr;
	if (measure::available_bytes() < bytes + kReserve)
		return false;
	start = static_cast<char *>(std::aligned_alloc(kLine, bytes));
	if (!start)
		return false;
	for (uint64_t i = 0; i < lines; i++) {
		uint64_t x = ((i ^ i >> half) * 0x5851f42d4c957f2d + 0x14057b7ef767814f) & mask;

		line(i) = x ^ x >> half;
	}
	total = bytes;
	return true;
}

/* total (a power of two), dependent: an iteration is 1024 reads. */
void random_read(benchmark::State &state)
{
	/* Kept from call to call: the library calls this several times to find how long to run. */
	static Memory memory;
	static uint64_t random = 1;
	const size_t total = static_cast<size_t>(state.range(0));
	const uint64_t mask = total / kLine - 1;
	uint64_t at = 0, sum = 0, misses;

	if (!memory.make(total)) {
		state.SkipWithError("not enough memory");
		return;
	}
	misses = measure::tlb().misses();
	for (auto _ : state) {
		if (state.range(1)) {
			for (size_t i = 0; i < kReads; i++)
				at = memory.line(at);
		} else {
			for (size_t i = 0; i < kReads; i++)
				sum += memory.line(measure::random_next(random) & mask);
		}
		benchmark::DoNotOptimize(at);
		benchmark::DoNotOptimize(sum);
	}
	misses = measure::tlb().misses() - misses;
	state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kReads));
	if (measure::tlb().works())
		state.counters["dtlb_misses_per_read"] = static_cast<double>(misses) /
							 static_cast<double>(kReads) /
							 static_cast<double>(state.iterations());
	state.counters["rss_bytes"] = static_cast<double>(measure::resident().rss_bytes);
}

/* One size after the other, so that memory is filled once for each. */
void sizes(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgNames({"total", "dependent"});
	for (int64_t total :
		{int64_t{4} << 20, int64_t{64} << 20, int64_t{1} << 30, int64_t{4} << 30})
		benchmark->Args({total, 0})->Args({total, 1});
}

} // namespace

BENCHMARK(random_read)->Apply(sizes)->Unit(benchmark::kMicrosecond);
