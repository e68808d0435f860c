/* SPDX-License-Identifier: MIT */
/*
 * The rates of the mmap family: through the functions of the C library, which a preloaded library
 * may have put its own in front of, and as system calls, which nobody can.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "measure.h"

namespace
{

constexpr int kReadWrite = PROT_READ | PROT_WRITE, kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;

struct Calls {
	void *(*map)(void *, size_t, int, int, int, off_t);
	int (*unmap)(void *, size_t);
	void *(*remap)(void *, size_t, size_t, int);
	int (*protect)(void *, size_t, int);
	int (*advise)(void *, size_t, int);
};

void *libc_remap(void *p, size_t from, size_t to, int flags)
{
	return mremap(p, from, to, flags);
}

void *raw_map(void *p, size_t len, int prot, int flags, int fd, off_t offset)
{
	return reinterpret_cast<void *>(syscall(SYS_mmap, p, len, prot, flags, fd, offset));
}

int raw_unmap(void *p, size_t len)
{
	return static_cast<int>(syscall(SYS_munmap, p, len));
}

void *raw_remap(void *p, size_t from, size_t to, int flags)
{
	return reinterpret_cast<void *>(syscall(SYS_mremap, p, from, to, flags, nullptr));
}

int raw_protect(void *p, size_t len, int prot)
{
	return static_cast<int>(syscall(SYS_mprotect, p, len, prot));
}

int raw_advise(void *p, size_t len, int advice)
{
	return static_cast<int>(syscall(SYS_madvise, p, len, advice));
}

const Calls kLibc = {mmap, munmap, libc_remap, mprotect, madvise};
const Calls kSyscall = {raw_map, raw_unmap, raw_remap, raw_protect, raw_advise};

char *map(benchmark::State &state, const Calls &calls, size_t len)
{
	void *p = calls.map(nullptr, len, kReadWrite, kPrivate, -1, 0);

	if (p == MAP_FAILED) {
		state.SkipWithError("mmap failed");
		return nullptr;
	}
	return static_cast<char *>(p);
}

void finish(benchmark::State &state, long faults_before)
{
	state.SetItemsProcessed(state.iterations());
	state.counters["faults"] =
		benchmark::Counter(static_cast<double>(measure::minor_faults() - faults_before),
			benchmark::Counter::kAvgIterations);
}

/* len, touch: a mapping that is made, its first byte touched or not, and unmapped. */
void mmap_munmap(benchmark::State &state, const Calls &calls)
{
	const size_t len = static_cast<size_t>(state.range(0));
	long before = measure::minor_faults();

	for (auto _ : state) {
		char *p = map(state, calls, len);

		if (!p)
			break;
		if (state.range(1))
			*static_cast<volatile char *>(p) = 1;
		calls.unmap(p, len);
	}
	finish(state, before);
}

/* len: a touched mapping that grows to twice its length, where there is room, and shrinks again. */
void mremap_grow(benchmark::State &state, const Calls &calls)
{
	const size_t len = static_cast<size_t>(state.range(0));
	long before = measure::minor_faults();
	char *p = map(state, calls, len);

	if (p)
		*static_cast<volatile char *>(p) = 1;
	for (auto _ : state) {
		void *grown = p ? calls.remap(p, len, 2 * len, MREMAP_MAYMOVE) : MAP_FAILED;

		if (grown == MAP_FAILED || calls.remap(grown, 2 * len, len, 0) != grown) {
			state.SkipWithError("mremap failed");
			break;
		}
		p = static_cast<char *>(grown);
	}
	if (p)
		calls.unmap(p, len);
	finish(state, before);
}

/* len: the second half of a mapping loses the right to be written and gets it again. */
void mprotect_half(benchmark::State &state, const Calls &calls)
{
	const size_t len = static_cast<size_t>(state.range(0));
	long before = measure::minor_faults();
	char *p = map(state, calls, len);

	if (p)
		*static_cast<volatile char *>(p) = 1;
	for (auto _ : state) {
		if (!p || calls.protect(p + len / 2, len / 2, PROT_READ) ||
			calls.protect(p + len / 2, len / 2, kReadWrite)) {
			state.SkipWithError("mprotect failed");
			break;
		}
	}
	if (p)
		calls.unmap(p, len);
	finish(state, before);
}

/* len: all of a mapping is touched and given back. */
void madvise_dontneed(benchmark::State &state, const Calls &calls)
{
	const size_t len = static_cast<size_t>(state.range(0));
	long before = measure::minor_faults();
	char *p = map(state, calls, len);

	for (auto _ : state) {
		for (size_t at = 0; p && at < len; at += 4096)
			static_cast<volatile char *>(p)[at] = 1;
		if (!p || calls.advise(p, len, MADV_DONTNEED)) {
			state.SkipWithError("madvise failed");
			break;
		}
	}
	if (p)
		calls.unmap(p, len);
	finish(state, before);
}

void lengths(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgName("len")->Arg(65536)->Arg(1 << 20)->Arg(64 << 20);
}

void lengths_touch(benchmark::internal::Benchmark *benchmark)
{
	benchmark->ArgNames({"len", "touch"})
		->ArgsProduct({{4096, 65536, 1 << 20, 64 << 20}, {0, 1}});
}

} // namespace

BENCHMARK_CAPTURE(mmap_munmap, libc, kLibc)->Apply(lengths_touch);
BENCHMARK_CAPTURE(mmap_munmap, syscall, kSyscall)->Apply(lengths_touch);
BENCHMARK_CAPTURE(mremap_grow, libc, kLibc)->Apply(lengths);
BENCHMARK_CAPTURE(mremap_grow, syscall, kSyscall)->Apply(lengths);
BENCHMARK_CAPTURE(mprotect_half, libc, kLibc)->Apply(lengths);
BENCHMARK_CAPTURE(mprotect_half, syscall, kSyscall)->Apply(lengths);
BENCHMARK_CAPTURE(madvise_dontneed, libc, kLibc)->Apply(lengths);
BENCHMARK_CAPTURE(madvise_dontneed, syscall, kSyscall)->Apply(lengths);
