/* SPDX-License-Identifier: MIT */
/*
 * C++: the operators, aligned and sized forms included, containers, exceptions for want of memory.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

struct alignas(256) Wide {
	char bytes[300];
};

struct Tracked {
	std::string text = std::string(1000, 't');
	static thread_local std::vector<std::string> mine;
};

thread_local std::vector<std::string> Tracked::mine;

static unsigned long fill()
{
	std::map<int, std::unique_ptr<std::vector<std::string>>> all;
	unsigned long sum = 0;

	for (int i = 0; i < 2000; i++) {
		auto &v = all[i * 7919 % 2003];
		v = std::make_unique<std::vector<std::string>>();
		for (int j = 0; j < i % 40; j++)
			v->push_back(std::string(static_cast<size_t>(j) * 10, 'x'));
	}
	for (auto &entry : all)
		for (auto &text : *entry.second)
			sum += text.size();
	for (int i = 0; i < 100; i++)
		Tracked::mine.push_back(std::string(100, 'l'));
	return sum;
}

int main()
{
	volatile size_t huge = SIZE_MAX / 2 - 100;
	Wide *wide = new Wide[17];
	Tracked *tracked = new Tracked[100];
	unsigned long other = 0;

	std::printf("aligned %d\n", reinterpret_cast<uintptr_t>(wide) % 256 == 0);
	delete[] wide;
	delete[] tracked;
	try {
		char *p = new char[huge];
		std::printf("got %p\n", static_cast<void *>(p));
	} catch (const std::bad_alloc &) {
		std::puts("bad_alloc");
	}
	std::printf("nothrow %d\n", new (std::nothrow) char[huge] == nullptr);
	std::thread thread([&] { other = fill(); });
	unsigned long here = fill();
	thread.join();
	std::printf("%lu %lu\n", here, other);
	std::free(new int(1)); /* wrong, and works */
	return 0;
}
