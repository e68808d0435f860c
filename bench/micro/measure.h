/* SPDX-License-Identifier: MIT */
/*
 * What the micro benchmarks measure beside the time. Nothing here depends on the malloc that
 * serves the process, and what reads /proc allocates nothing, so that looking does not change
 * what is seen.
 */
#ifndef PG64_BENCH_MICRO_MEASURE_H
#define PG64_BENCH_MICRO_MEASURE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace measure
{

uint64_t now_ns();

/* Of all threads of this process. */
long minor_faults();

struct Resident {
	uint64_t rss_bytes, pss_bytes;
};

/* From /proc/self/smaps_rollup; zeros where there is none. */
Resident resident();

/* MemAvailable. */
uint64_t available_bytes();

/*
 * The memory that a group of processes, or all of the system, has in use. RSS cannot serve for
 * memory that is held and not mapped: a large folio of which parts were unmapped is kept as a
 * whole. With a memory cgroup (of version 1 or 2) this is its charge; without one, what is not
 * free of all of the system's memory, where pages in the per-CPU lists are free as well: MemFree
 * leaves them out. The latter is of use only while nothing else happens on the machine.
 */
class SystemMemory
{
      public:
	/* A folder of cgroupfs, made by the caller, or "". */
	explicit SystemMemory(const char *group);
	/* Puts this process into the group. */
	bool join() const;
	uint64_t used_bytes() const;
	std::string description() const;

      private:
	std::string group_, file_;
};

/* Data that the processor's counters have of misses in the data TLB, where there are any. */
class TlbCounter
{
      public:
	TlbCounter();
	~TlbCounter();
	TlbCounter(const TlbCounter &) = delete;
	TlbCounter &operator=(const TlbCounter &) = delete;

	bool works() const
	{
		return fd_ >= 0;
	}
	/* "dTLB load misses of ...", or why there are none. */
	const std::string &description() const
	{
		return description_;
	}
	/* Load misses of this thread in user mode so far. */
	uint64_t misses() const;

      private:
	int fd_ = -1;
	std::string description_;
};

/* The one that all benchmarks use; opened by the first call, which has to be the main thread's. */
const TlbCounter &tlb();

/*
 * Times in a histogram whose steps are 1/32 of the value, so that it needs no memory for samples
 * and can be sent from process to process as it is.
 */
class Histogram
{
      public:
	void add(uint64_t ns);
	void add(const Histogram &other);
	uint64_t samples() const;
	/* The time that `fraction` of the samples do not exceed, to 1/32. */
	double quantile(double fraction) const;
	/* The samples of each power of two that has any: they took less than this, in ns. */
	std::vector<std::pair<uint64_t, uint64_t>> octaves() const;
	double max() const
	{
		return static_cast<double>(max_);
	}

      private:
	static constexpr unsigned kBits = 5, kSteps = 1 << kBits, kOctaves = 36;
	static unsigned bucket(uint64_t ns);
	static uint64_t upper_end(unsigned bucket);

	uint32_t counts_[kOctaves * kSteps] = {};
	uint64_t max_ = 0;
};

/* Touches and gives back that much memory: a host that took memory back brings it here again. */
void prime(size_t bytes);

/* The library whose malloc serves this process. */
std::string malloc_name();

/* A small generator that is the same everywhere (splitmix64). */
inline uint64_t random_next(uint64_t &state)
{
	uint64_t x = state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

} // namespace measure

#endif
