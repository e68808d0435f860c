/* SPDX-License-Identifier: MIT */
#include "measure.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace measure
{

namespace
{

/* Large enough for /proc/zoneinfo of hundreds of CPUs; what is not used costs nothing. */
char text[4 << 20];

/* All of a file in `text`; "" when it cannot be read. */
const char *read_text(const char *path)
{
	size_t used = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && used < sizeof(text) - 1) {
		ssize_t got = read(fd, text + used, sizeof(text) - 1 - used);

		if (got <= 0)
			break;
		used += static_cast<size_t>(got);
	}
	if (fd >= 0)
		close(fd);
	text[used] = '\0';
	return text;
}

/* The sum of the numbers after each "\n<name>" (leading blanks allowed) in the text. */
uint64_t sum_of(const char *from, const char *name)
{
	uint64_t sum = 0;

	while ((from = std::strstr(from, name))) {
		from += std::strlen(name);
		sum += std::strtoull(from, nullptr, 10);
	}
	return sum;
}

uint64_t system_used()
{
	const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
	const char *info = read_text("/proc/meminfo");
	uint64_t total = sum_of(info, "MemTotal:"), free_kb = sum_of(info, "MemFree:");

	/* "count:" is the length of the list of one zone and CPU. */
	return (total - free_kb) * 1024 - sum_of(read_text("/proc/zoneinfo"), " count:") * page;
}

} // namespace

uint64_t now_ns()
{
	timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

long minor_faults()
{
	rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

Resident resident()
{
	const char *rollup = read_text("/proc/self/smaps_rollup");

	return {sum_of(rollup, "\nRss:") * 1024, sum_of(rollup, "\nPss:") * 1024};
}

uint64_t available_bytes()
{
	return sum_of(read_text("/proc/meminfo"), "MemAvailable:") * 1024;
}

SystemMemory::SystemMemory(const char *group) : group_(group)
{
	for (const char *name : {"/memory.current", "/memory.usage_in_bytes"}) {
		if (!group_.empty() && !access((group_ + name).c_str(), R_OK))
			file_ = group_ + name;
	}
}

bool SystemMemory::join() const
{
	char line[32];
	int len = std::snprintf(line, sizeof(line), "%d\n", static_cast<int>(getpid()));
	int fd;
	bool done;

	if (group_.empty())
		return true;
	fd = open((group_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, line, static_cast<size_t>(len)) == len;
	if (fd >= 0)
		close(fd);
	return done && !file_.empty();
}

uint64_t SystemMemory::used_bytes() const
{
	if (group_.empty())
		return system_used();
	return std::strtoull(read_text(file_.c_str()), nullptr, 10);
}

std::string SystemMemory::description() const
{
	if (group_.empty())
		return "MemTotal - MemFree - per-CPU lists, of all of the system";
	return file_.empty() ? "not here: no memory cgroup at " + group_ : "charge of " + group_;
}

void prime(size_t bytes)
{
	/* Not through mmap(), which may be interposed: this is the machine's preparation. */
	void *p = reinterpret_cast<void *>(syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0L));

	if (p != MAP_FAILED)
		syscall(SYS_munmap, p, bytes);
}

std::string malloc_name()
{
	Dl_info info;
	void *symbol = dlsym(RTLD_DEFAULT, "malloc");

	if (!symbol || !dladdr(symbol, &info) || !info.dli_fname)
		return "unknown";
	return info.dli_fname;
}

TlbCounter::TlbCounter()
{
	/* As many pages as no TLB holds: a counter that still says 0 does not count. */
	static const size_t len = 64 << 20, step = 4096 + 64;
	perf_event_attr attr = {};
	volatile char *pages;

	attr.type = PERF_TYPE_HW_CACHE;
	attr.size = sizeof(attr);
	attr.config = PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 |
		      PERF_COUNT_HW_CACHE_RESULT_MISS << 16;
	attr.exclude_kernel = 1;
	attr.exclude_hv = 1;
	fd_ = static_cast<int>(
		syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
	if (fd_ < 0) {
		description_ = std::string("not here: perf_event_open: ") + std::strerror(errno);
		return;
	}
	pages = static_cast<volatile char *>(
		mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	if (pages != MAP_FAILED) {
		for (unsigned round = 0; round < 2; round++) {
			for (size_t at = 0; at < len; at += step)
				pages[at] = static_cast<char>(pages[at] + 1);
		}
		munmap(const_cast<char *>(pages), len);
	}
	description_ = "dTLB load misses in user mode, by perf_event_open";
	if (!misses()) {
		description_ = "not here: the counter can be opened and counts nothing";
		close(fd_);
		fd_ = -1;
	}
}

TlbCounter::~TlbCounter()
{
	if (fd_ >= 0)
		close(fd_);
}

uint64_t TlbCounter::misses() const
{
	uint64_t value = 0;

	if (fd_ < 0 || read(fd_, &value, sizeof(value)) != sizeof(value))
		return 0;
	return value;
}

const TlbCounter &tlb()
{
	static const TlbCounter counter;

	return counter;
}

unsigned Histogram::bucket(uint64_t ns)
{
	unsigned shift, index;

	if (ns < kSteps)
		return static_cast<unsigned>(ns);
	shift = 63 - static_cast<unsigned>(__builtin_clzll(ns)) - kBits;
	index = (shift + 1) * kSteps + static_cast<unsigned>((ns >> shift) - kSteps);
	return index < kOctaves * kSteps ? index : kOctaves * kSteps - 1;
}

uint64_t Histogram::upper_end(unsigned bucket)
{
	unsigned shift = bucket / kSteps;

	if (!shift)
		return bucket;
	return (((uint64_t)bucket % kSteps + kSteps + 1) << (shift - 1)) - 1;
}

void Histogram::add(uint64_t ns)
{
	counts_[bucket(ns)]++;
	if (ns > max_)
		max_ = ns;
}

void Histogram::add(const Histogram &other)
{
	for (unsigned i = 0; i < kOctaves * kSteps; i++)
		counts_[i] += other.counts_[i];
	if (other.max_ > max_)
		max_ = other.max_;
}

uint64_t Histogram::samples() const
{
	uint64_t sum = 0;

	for (uint32_t count : counts_)
		sum += count;
	return sum;
}

std::vector<std::pair<uint64_t, uint64_t>> Histogram::octaves() const
{
	std::vector<std::pair<uint64_t, uint64_t>> found;

	for (unsigned i = 0; i < kOctaves * kSteps; i++) {
		uint64_t below = 1;

		if (!counts_[i])
			continue;
		while (below <= upper_end(i))
			below *= 2;
		if (found.empty() || found.back().first != below)
			found.emplace_back(below, 0);
		found.back().second += counts_[i];
	}
	return found;
}

double Histogram::quantile(double fraction) const
{
	const double wanted = fraction * static_cast<double>(samples());
	uint64_t sum = 0;

	for (unsigned i = 0; i < kOctaves * kSteps; i++) {
		sum += counts_[i];
		if (sum && static_cast<double>(sum) >= wanted)
			return static_cast<double>(upper_end(i) < max_ ? upper_end(i) : max_);
	}
	return 0;
}

} // namespace measure
