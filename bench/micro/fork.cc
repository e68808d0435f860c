/* SPDX-License-Identifier: MIT */
/*
 * fork and copy-on-write, as a database does that writes a snapshot: a heap of many small blocks,
 * a child that lives for a while, a parent that goes on writing, and what is left when the child
 * ends.
 */
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

namespace
{

constexpr size_t kBlock = 256, kPage = 4096;
constexpr useconds_t kSettle_us = 100000; /* page tables of a process go after a grace period */

enum Value { kHeld, kRss, kPss, kFaults };

std::vector<char *> make_heap(size_t bytes)
{
	std::vector<char *> blocks(bytes / kBlock);

	for (char *&block : blocks) {
		block = static_cast<char *>(std::malloc(kBlock));
		if (!block)
			std::abort();
		std::memset(block, 1, kBlock);
	}
	return blocks;
}

/* A child that ends when our end of the pipe is closed; -1 on failure. */
pid_t start_child(int &our_end, uint64_t &time_ns)
{
	int ends[2];
	char byte;
	uint64_t start;
	pid_t pid;

	if (pipe(ends))
		return -1;
	start = measure::now_ns();
	pid = fork();
	if (!pid) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
	}
	time_ns = measure::now_ns() - start;
	close(ends[0]);
	our_end = ends[1];
	return pid;
}

/* A tenth as many writes as there are pages, each to a random block. */
void rewrite(std::vector<char *> &blocks, measure::Histogram &histogram)
{
	const size_t writes = blocks.size() * kBlock / kPage / 10;
	uint64_t random = 1;

	for (size_t i = 0; i < writes; i++) {
		volatile char *block = blocks[measure::random_next(random) % blocks.size()];
		uint64_t start = measure::now_ns();

		*block = 2;
		histogram.add(measure::now_ns() - start);
	}
}

/* args: bytes of the heap */
void fork_here(const std::vector<size_t> &args, worker::Result &result)
{
	measure::SystemMemory memory(worker::memory_group.c_str());
	std::vector<char *> blocks;
	uint64_t before;
	long faults;
	int our_end = -1, status;
	pid_t pid;

	if (!memory.join())
		return;
	measure::resident(); /* touches what the next look would touch */
	blocks = make_heap(args[0]);
	usleep(kSettle_us);
	memory.used_bytes();
	before = memory.used_bytes();
	pid = start_child(our_end, result.time_ns);
	if (pid < 0)
		return;
	faults = measure::minor_faults();
	rewrite(blocks, result.histogram);
	result.values[kFaults] = static_cast<double>(measure::minor_faults() - faults);
	close(our_end);
	if (waitpid(pid, &status, 0) != pid || status)
		return;
	usleep(kSettle_us);
	result.values[kHeld] =
		static_cast<double>(memory.used_bytes()) - static_cast<double>(before);
	result.values[kRss] = static_cast<double>(measure::resident().rss_bytes);
	result.values[kPss] = static_cast<double>(measure::resident().pss_bytes);
	result.done = true;
}

const worker::Task fork_task{"fork_cow", fork_here};

double median(std::vector<double> values)
{
	std::sort(values.begin(), values.end());
	return values.empty() ? 0 : values[values.size() / 2];
}

/*
 * heap_mb. The time is that of fork(). Then a tenth of the pages is written to while the child
 * lives: p50_ns to max_ns are the times of the writes, faults their number. held_bytes is how
 * much more memory is in use when the child has gone than before it came: see held_bytes_by in
 * the context. It is the median of the iterations, for anything else that runs at the time
 * disturbs it.
 */
void fork_cow(benchmark::State &state)
{
	const size_t bytes = static_cast<size_t>(state.range(0)) << 20;
	measure::Histogram writes;
	std::vector<double> values[4];

	if (measure::available_bytes() < 2 * bytes + (256 << 20)) {
		state.SkipWithError("not enough memory");
		return;
	}
	measure::prime(bytes + bytes / 4);
	for (auto _ : state) {
		worker::Result result;

		if (!worker::iterate(state, fork_task, {bytes}, result))
			break;
		writes.add(result.histogram);
		for (size_t i = 0; i < 4; i++)
			values[i].push_back(result.values[i]);
	}
	state.counters["faults"] = median(values[kFaults]);
	state.counters["held_bytes"] = median(values[kHeld]);
	state.counters["rss_bytes"] = median(values[kRss]);
	state.counters["pss_bytes"] = median(values[kPss]);
	state.counters["p50_ns"] = writes.quantile(0.5);
	state.counters["p99_ns"] = writes.quantile(0.99);
	state.counters["p999_ns"] = writes.quantile(0.999);
	state.counters["max_ns"] = writes.max();
}

} // namespace

BENCHMARK(fork_cow)
	->ArgName("heap_mb")
	->Arg(16)
	->Arg(64)
	->Arg(512)
	->Arg(1024)
	->Iterations(5)
	->UseManualTime()
	->Unit(benchmark::kMicrosecond);
