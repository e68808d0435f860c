/* SPDX-License-Identifier: MIT */
/* Blocks that one thread allocates and another one frees. */
#include <atomic>
#include <cstdlib>
#include <thread>

#include <benchmark/benchmark.h>

namespace
{

constexpr unsigned kBatch = 256, kSlots = 8;

/*
 * A ring of batches between two threads. They hand over whole batches, so that what is measured is
 * the allocator and not the cache line that the counters are on.
 */
struct Ring {
	char *blocks[kSlots][kBatch];
	alignas(64) std::atomic<uint64_t> filled{0};
	alignas(64) std::atomic<uint64_t> emptied{0};
	std::atomic<bool> over{false};
};

void free_all(Ring &ring)
{
	for (uint64_t next = 0;; next++) {
		while (ring.filled.load(std::memory_order_acquire) == next) {
			/* `over` is set after the last batch: only then may there be no more. */
			if (ring.over.load(std::memory_order_acquire) &&
				ring.filled.load(std::memory_order_acquire) == next)
				return;
			std::this_thread::yield();
		}
		for (char *block : ring.blocks[next % kSlots])
			std::free(block);
		ring.emptied.store(next + 1, std::memory_order_release);
	}
}

/* size: an iteration is a batch of 256 blocks. */
void cross_thread_free(benchmark::State &state)
{
	const size_t size = static_cast<size_t>(state.range(0));
	Ring ring;
	std::thread other(free_all, std::ref(ring));
	uint64_t next = 0;

	for (auto _ : state) {
		while (next - ring.emptied.load(std::memory_order_acquire) == kSlots)
			std::this_thread::yield();
		for (char *&block : ring.blocks[next % kSlots]) {
			block = static_cast<char *>(std::malloc(size));
			block[0] = 1;
		}
		ring.filled.store(++next, std::memory_order_release);
	}
	ring.over.store(true, std::memory_order_release);
	other.join();
	state.SetItemsProcessed(state.iterations() * kBatch);
}

} // namespace

BENCHMARK(cross_thread_free)
	->ArgName("size")
	->Arg(16)
	->Arg(64)
	->Arg(256)
	->Arg(1024)
	->Arg(4096)
	->Arg(32768)
	->UseRealTime()
	->Unit(benchmark::kMicrosecond);
