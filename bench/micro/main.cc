/* SPDX-License-Identifier: MIT */
/*
 * Small benchmarks of the allocator in the process, whichever it is: run it with and without
 * LD_PRELOAD=libpg64.so. Each reports minor faults an iteration beside the time where memory is
 * touched, because on a machine whose memory comes from a host the faults are steadier than the
 * time.
 *
 *     build/bench/micro/micro --benchmark_filter=first_touch \
 *         --benchmark_out=result.json --benchmark_out_format=json
 *
 * One option is our own: --memory_group=FOLDER, an empty memory cgroup that the caller made and
 * will remove. What fork_cow says of memory that is held is the charge of that group then, and
 * not the change of the whole system's memory.
 */
#include <cstdio>
#include <cstring>
#include <string>

#include <unistd.h>

#include <benchmark/benchmark.h>

#include "measure.h"
#include "worker.h"

namespace
{

/* Takes our own option out of argv. */
void take_options(int &argc, char **argv)
{
	static const char kGroup[] = "--memory_group=";
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (!std::strncmp(argv[i], kGroup, sizeof(kGroup) - 1))
			worker::memory_group = argv[i] + sizeof(kGroup) - 1;
		else
			argv[kept++] = argv[i];
	}
	argc = kept;
	argv[argc] = nullptr;
}

/* What one look at the clock costs: it is in each of the times of fault_latency. */
std::string clock_cost()
{
	const int rounds = 10000;
	uint64_t start = measure::now_ns();

	for (int i = 1; i < rounds; i++)
		benchmark::DoNotOptimize(measure::now_ns());
	return std::to_string((measure::now_ns() - start) / rounds);
}

void add_context()
{
	benchmark::AddCustomContext("malloc", measure::malloc_name());
	benchmark::AddCustomContext("page_size", std::to_string(sysconf(_SC_PAGESIZE)));
	benchmark::AddCustomContext("tlb_counters", measure::tlb().description());
	benchmark::AddCustomContext(
		"held_bytes_by", measure::SystemMemory(worker::memory_group.c_str()).description());
	benchmark::AddCustomContext("clock_ns", clock_cost());
}

} // namespace

int main(int argc, char **argv)
{
	if (worker::is_worker(argc, argv))
		return 0;
	take_options(argc, argv);
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	add_context();
	benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return 0;
}
