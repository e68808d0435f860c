/* SPDX-License-Identifier: MIT */
/* What each process pays at its start: /bin/true, under the same preload. */
#include <cstring>

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <benchmark/benchmark.h>

extern char **environ;

namespace
{

/* Start to end of one process; its faults and its largest RSS. */
void startup(benchmark::State &state)
{
	char name[] = "true", *argv[] = {name, nullptr};
	double faults = 0, rss_bytes = 0;

	for (auto _ : state) {
		rusage usage = {};
		int status = 0;
		pid_t pid;

		if (posix_spawn(&pid, "/bin/true", nullptr, nullptr, argv, environ) ||
			wait4(pid, &status, 0, &usage) != pid || status) {
			state.SkipWithError("/bin/true failed");
			break;
		}
		faults += static_cast<double>(usage.ru_minflt);
		rss_bytes += static_cast<double>(usage.ru_maxrss) * 1024;
	}
	state.counters["faults"] = benchmark::Counter(faults, benchmark::Counter::kAvgIterations);
	state.counters["rss_bytes"] =
		benchmark::Counter(rss_bytes, benchmark::Counter::kAvgIterations);
}

} // namespace

BENCHMARK(startup)->UseRealTime()->Unit(benchmark::kMicrosecond);
