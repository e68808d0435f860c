/* SPDX-License-Identifier: MIT */
/*
 * graph --bytes N: a directed random graph in adjacency lists that grow one edge at a time, of
 * about N bytes; a breadth-first search over all of it, and a random walk.
 */
#include <vector>

#include "load.h"

namespace
{

using graph = std::vector<std::vector<uint32_t>>;

/* A list's head, 8 edges on average in blocks that doubled, and the search's distance and queue. */
constexpr uint64_t bytes_a_vertex = 112, edges_a_vertex = 8;

graph build(uint64_t vertices)
{
	graph built(vertices);

	for (uint64_t i = 0; i < vertices * edges_a_vertex; i++) {
		uint64_t edge = load::number(i);
		built[(edge >> 32) * vertices >> 32].push_back(
			static_cast<uint32_t>((edge & 0xffffffff) * vertices >> 32));
	}
	return built;
}

void search(const graph &from)
{
	constexpr uint32_t unseen = 0xffffffff;
	std::vector<uint32_t> distance(from.size(), unseen), queue;
	uint64_t sum = 0;

	queue.push_back(0);
	distance[0] = 0;
	for (size_t next = 0; next < queue.size(); next++)
		for (uint32_t to : from[queue[next]])
			if (distance[to] == unseen) {
				distance[to] = distance[queue[next]] + 1;
				sum += distance[to];
				queue.push_back(to);
			}
	std::printf("reached %zu\ndistances %llu\n", queue.size(),
		static_cast<unsigned long long>(sum));
}

/* Each step needs the one before: nothing can be fetched ahead. */
void walk(const graph &over, uint64_t steps)
{
	uint64_t sum = 0;
	uint32_t at = 0;

	for (uint64_t i = 0; i < steps; i++) {
		const std::vector<uint32_t> &edges = over[at];
		uint64_t random = load::number(i + sum);
		at = static_cast<uint32_t>(
			edges.empty() ? random % over.size() : edges[random % edges.size()]);
		sum += at;
	}
	std::printf("walked %llu\n", static_cast<unsigned long long>(sum % 1000000007));
}

} // namespace

int main(int argc, char **argv)
{
	const uint64_t vertices = load::bytes_option(argc, argv) / bytes_a_vertex + 1;

	if (vertices >> 32) {
		std::fprintf(stderr, "%s: too many bytes: vertices have 32-bit numbers\n", argv[0]);
		return 2;
	}
	load::phase building("build");
	graph built = build(vertices);
	building.done();
	load::phase searching("search");
	search(built);
	searching.done();
	load::phase walking("walk");
	walk(built, vertices / 2);
	walking.done();
	std::printf("vertices %zu\n", built.size());
	std::fflush(stdout);
	std::_Exit(0);
}
