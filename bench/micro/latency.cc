/* SPDX-License-Identifier: MIT */
/*
 * The time of each first touch of 4 KiB, one by one: larger pages make most of them cheap and some
 * of them dear, and an average hides both.
 */
#include <cstdlib>

#include <sys/mman.h>

#include "worker.h"

namespace
{

enum Source { kMalloc, kHeap, kPrivate, kShared };

constexpr size_t kStep = 4096; /* the base page of x86-64; elsewhere several steps are one page */

void touch(volatile char *at, measure::Histogram &histogram)
{
	uint64_t start = measure::now_ns();

	*at = 1;
	histogram.add(measure::now_ns() - start);
}

/* What a program sees that takes small blocks: the allocator's work and the fault. */
void touch_heap(size_t total, measure::Histogram &histogram)
{
	for (size_t i = 0; i < total / kStep; i++) {
		uint64_t start = measure::now_ns();
		volatile char *p = static_cast<volatile char *>(std::malloc(kStep));

		if (!p)
			std::abort();
		p[0] = 1;
		p[kStep - 1] = 1;
		histogram.add(measure::now_ns() - start);
	}
}

void *get_memory(size_t source, size_t total)
{
	const int flags = MAP_ANONYMOUS | (source == kShared ? MAP_SHARED : MAP_PRIVATE);
	void *p;

	if (source == kMalloc)
		return std::malloc(total);
	p = mmap(nullptr, total, PROT_READ | PROT_WRITE, flags, -1, 0);
	return p == MAP_FAILED ? nullptr : p;
}

/* args: source, total */
void touch_here(const std::vector<size_t> &args, worker::Result &result)
{
	const size_t source = args[0], total = args[1];
	uint64_t start = measure::now_ns();
	long before = measure::minor_faults();

	if (source == kHeap) {
		touch_heap(total, result.histogram);
	} else {
		char *memory = static_cast<char *>(get_memory(source, total));

		if (!memory)
			return;
		for (size_t at = 0; at < total; at += kStep)
			touch(memory + at, result.histogram);
	}
	result.time_ns = measure::now_ns() - start;
	result.values[0] = static_cast<double>(measure::minor_faults() - before);
	result.done = true;
}

const worker::Task latency_task{"fault_latency", touch_here};

void fault_latency(benchmark::State &state, Source source)
{
	const size_t total = static_cast<size_t>(state.range(0));
	measure::Histogram all;
	double faults = 0;

	measure::prime(total);
	for (auto _ : state) {
		worker::Result result;

		if (!worker::iterate(state, latency_task, {source, total}, result))
			break;
		all.add(result.histogram);
		faults += result.values[0];
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
	state.counters["faults"] = benchmark::Counter(faults, benchmark::Counter::kAvgIterations);
	state.counters["samples"] = static_cast<double>(all.samples());
	state.counters["p50_ns"] = all.quantile(0.5);
	state.counters["p99_ns"] = all.quantile(0.99);
	state.counters["p999_ns"] = all.quantile(0.999);
	state.counters["max_ns"] = all.max();
	/* The histogram: how many took less than so many ns, and not less than half of that. */
	for (const auto &[below, count] : all.octaves())
		state.counters["below_" + std::to_string(below) + "_ns"] =
			static_cast<double>(count);
}

void sizes(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgName("total")
		->Arg(8 << 20)
		->Arg(64 << 20)
		->Arg(512 << 20)
		->UseManualTime()
		->Unit(benchmark::kMillisecond);
}

} // namespace

BENCHMARK_CAPTURE(fault_latency, malloc, kMalloc)->Apply(sizes);
BENCHMARK_CAPTURE(fault_latency, heap, kHeap)->Apply(sizes);
BENCHMARK_CAPTURE(fault_latency, mmap, kPrivate)->Apply(sizes);
BENCHMARK_CAPTURE(fault_latency, shared, kShared)->Apply(sizes);
