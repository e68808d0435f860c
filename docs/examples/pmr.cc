/* SPDX-License-Identifier: MIT */
/*
 * Example: a std::pmr memory resource on a pg64 arena. Containers of one task share an arena, and
 * leaving the task's scope frees them all at once.
 *
 *     c++ -std=c++17 pmr.cc $(pkg-config --cflags --libs pg64) -o pmr && ./pmr
 */
#include <cstdio>
#include <map>
#include <memory_resource>
#include <new>
#include <string>
#include <vector>

#include <pg64.h>

/* Bound to the thread that made it, as the arena is. */
class arena_resource : public std::pmr::memory_resource
{
      public:
	arena_resource() : arena_(pg64_arena_create())
	{
		if (!arena_)
			throw std::bad_alloc();
	}
	~arena_resource() override
	{
		pg64_arena_destroy(arena_);
	}
	arena_resource(const arena_resource &) = delete;
	arena_resource &operator=(const arena_resource &) = delete;

      private:
	void *do_allocate(std::size_t bytes, std::size_t alignment) override
	{
		void *block = pg64_arena_alloc(arena_, bytes, alignment);

		if (!block)
			throw std::bad_alloc();
		return block;
	}
	void do_deallocate(void *block, std::size_t, std::size_t) override
	{
		pg64_arena_free(arena_, block);
	}
	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		return this == &other;
	}

	pg64_arena *arena_;
};

int main()
{
	arena_resource arena;
	std::pmr::map<int, std::pmr::string> names(&arena);
	std::pmr::vector<std::pmr::string> list(&arena);

	for (int i = 0; i < 100000; i++) {
		names.emplace(i, "a name that is too long for the small string buffer");
		if (i % 3 == 0)
			list.push_back(names.at(i));
		if (i % 5 == 0)
			names.erase(i);
	}
	std::printf("%zu names, %zu in the list\n", names.size(), list.size());
	return names.size() == 80000 && list.size() == 33334 ? 0 : 1;
}
