/* SPDX-License-Identifier: MIT */
/*
 * What the kernel reads of a program's memory: write(2) of values of 1 KiB, taken in random order,
 * to a pipe, and read back at once: what a server's replies are made of. The values come to where
 * they are as a server's do: a header by the program, the rest by read(2).
 *
 * The first pass over new values is told apart from later ones. A hypervisor with page tables of
 * its own has to fill them when a page is read in this way for the first time, where it has not
 * done so when the page was written; with page tables in hardware the passes are alike.
 */
#include <cstdlib>
#include <cstring>
#include <vector>

#include <unistd.h>

#include <benchmark/benchmark.h>

#include "measure.h"

namespace
{

constexpr size_t kHeader = 48, kValue = 1024, kCopies = 256;
constexpr const char *kNoMemory = "not enough memory", *kNoPipe = "the pipe did not take a value";
constexpr uint64_t kReserve = 256 << 20;

/* A pipe that holds a value. */
struct Pipe {
	int ends[2] = {-1, -1};
	char back[kValue];

	Pipe()
	{
		if (pipe(ends))
			std::abort();
		std::memset(back, 0x5a, sizeof(back));
	}
	~Pipe()
	{
		close(ends[0]);
		close(ends[1]);
	}
	/* From @from, by the kernel, and back out of the pipe to @to. */
	bool move(const char *from, char *to)
	{
		return write(ends[1], from, kValue) == kValue &&
		       read(ends[0], to, kValue) == kValue;
	}
};

class Values
{
      public:
	Values() = default;
	~Values()
	{
		drop();
	}
	Values(const Values &) = delete;
	Values &operator=(const Values &) = delete;

	/* @count, a power of two, of new ones; an error's text, or nullptr. */
	const char *fill(size_t count, Pipe &pipe)
	{
		drop();
		if (measure::available_bytes() < count * (kHeader + kValue) + kReserve)
			return kNoMemory;
		all_.reserve(count);
		while (all_.size() < count) {
			char *value = static_cast<char *>(std::malloc(kHeader + kValue));

			if (!value)
				return kNoMemory;
			all_.push_back(value);
			std::memset(value, 1, kHeader);
			if (!pipe.move(pipe.back, value + kHeader))
				return kNoPipe;
		}
		return nullptr;
	}
	/* The @i-th of a pass: each once, in an order that jumps. */
	char *in_random_order(size_t i) const
	{
		const uint64_t mask = all_.size() - 1;
		const unsigned half = (static_cast<unsigned>(__builtin_ctzll(mask + 1)) + 1) / 2;
		uint64_t x = (i * 0x5851f42d4c957f2d + 0x14057b7ef767814f) & mask;

		return all_[x ^ x >> half] + kHeader;
	}
	/* Copies @copies of them, from the @from-th on; the time of each write and read. */
	const char *copy(
		size_t from, size_t copies, Pipe &pipe, measure::Histogram &histogram) const
	{
		for (size_t i = from; i < from + copies; i++) {
			uint64_t start = measure::now_ns();

			if (!pipe.move(in_random_order(i), pipe.back))
				return kNoPipe;
			histogram.add(measure::now_ns() - start);
		}
		return nullptr;
	}
	void drop()
	{
		for (char *value : all_)
			std::free(value);
		all_.clear();
		passed = false;
	}
	size_t size() const
	{
		return all_.size();
	}
	bool passed = false; /* each was read once */

      private:
	std::vector<char *> all_;
};

/* Values that were read once, for the later pass, or ones that are new. */
const char *prepare(Values &values, size_t count, bool later, Pipe &pipe)
{
	measure::Histogram unused;
	const char *error;

	if (later && values.passed && values.size() == count)
		return nullptr;
	error = values.fill(count, pipe);
	return error || !later ? error : values.copy(0, count, pipe, unused);
}

/* values, later: an iteration is 256 copies, all iterations together are one pass. */
void copy_out(benchmark::State &state)
{
	/* Kept from the first pass to the later one. */
	static Values values;
	Pipe pipe;
	measure::Histogram histogram;
	const size_t count = static_cast<size_t>(state.range(0));
	const bool later = state.range(1);
	const char *error = prepare(values, count, later, pipe);
	size_t at = 0;

	if (error) {
		state.SkipWithError(error);
		return;
	}
	for (auto _ : state) {
		error = error ? error : values.copy(at, kCopies, pipe, histogram);
		at += kCopies;
	}
	values.passed = !error;
	if (error)
		state.SkipWithError(error);
	state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kCopies));
	state.counters["p50_ns"] = histogram.quantile(0.5);
	state.counters["p99_ns"] = histogram.quantile(0.99);
	state.counters["p999_ns"] = histogram.quantile(0.999);
	state.counters["max_ns"] = histogram.max();
	state.counters["rss_bytes"] = static_cast<double>(measure::resident().rss_bytes);
	if (later)
		values.drop();
}

void pass(benchmark::internal::Benchmark *benchmark, int64_t values)
{
	for (int64_t later : {0, 1})
		benchmark->Args({values, later});
	benchmark->ArgNames({"values", "later"})
		->Iterations(values / static_cast<int64_t>(kCopies))
		->Unit(benchmark::kMicrosecond);
}

void few(benchmark::internal::Benchmark *benchmark)
{
	pass(benchmark, 1 << 12);
}

void many(benchmark::internal::Benchmark *benchmark)
{
	pass(benchmark, 1 << 20);
}

} // namespace

BENCHMARK(copy_out)->Apply(few);
BENCHMARK(copy_out)->Apply(many);
