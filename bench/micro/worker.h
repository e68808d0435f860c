/* SPDX-License-Identifier: MIT */
/*
 * Measurements that need a process of their own, because they must start from an allocator that has
 * kept nothing, whichever allocator it is: few of them can be told to give everything back. micro
 * starts itself again, with the same environment (LD_PRELOAD is in it), for each iteration.
 */
#ifndef PG64_BENCH_MICRO_WORKER_H
#define PG64_BENCH_MICRO_WORKER_H

#include <initializer_list>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "measure.h"

namespace worker
{

/* What comes back through the pipe, byte by byte. */
struct Result {
	bool done = false;
	uint64_t time_ns = 0; /* what the benchmark counts as its time */
	double values[8] = {};
	measure::Histogram histogram;
};

/* Runs in the worker; a result whose `done` is left false is a failure. */
using Function = void (*)(const std::vector<size_t> &args, Result &result);

/* At namespace scope: `const worker::Task touch{"touch", touch_here};` */
struct Task {
	Task(const char *name, Function function);

	const char *name;
	Function function;
	const Task *next;
};

/*
 * One iteration: starts a worker, waits for it, and gives its time to the state. False, with the
 * state skipped and the reason given, if it failed.
 */
bool iterate(benchmark::State &state, const Task &task, std::initializer_list<size_t> args,
	Result &result);

/* The option --memory_group=FOLDER of micro, or "". */
extern std::string memory_group;

/* If argv is that of a worker: does its work, and true. */
bool is_worker(int argc, char **argv);

} // namespace worker

#endif
