/* SPDX-License-Identifier: MIT */
/*
 * What the C++ loads share: a phase with its time and its faults, numbers without a state, options.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/resource.h>

namespace load
{

/* From its construction to done(): prints NAME_s and NAME_faults. */
class phase
{
	const char *name;
	std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
	long faults = minor_faults();

	static long minor_faults()
	{
		rusage usage;

		getrusage(RUSAGE_SELF, &usage);
		return usage.ru_minflt;
	}

      public:
	explicit phase(const char *name) : name(name)
	{
	}

	void done() const
	{
		std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;

		std::printf("%s_s %.6f\n%s_faults %ld\n", name, took.count(), name,
			minor_faults() - faults);
	}
};

/* splitmix64: the number at a position of a sequence that looks random. */
inline uint64_t number(uint64_t position)
{
	uint64_t z = (position + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The N of "--bytes N"; ends the program when there is none. */
inline uint64_t bytes_option(int argc, char **argv)
{
	char *end = nullptr;
	uint64_t bytes = 0;

	if (argc == 3 && !std::strcmp(argv[1], "--bytes"))
		bytes = std::strtoull(argv[2], &end, 10);
	if (!bytes || *end) {
		std::fprintf(stderr, "usage: %s --bytes N\n", argv[0]);
		std::exit(2);
	}
	return bytes;
}

} // namespace load

#endif
