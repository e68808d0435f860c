/* SPDX-License-Identifier: MIT */
/*
 * hashjoin --bytes N: a hash join as programs write it, with the standard library's containers:
 * one block of memory for each row of the build side, looked up in random order from the other
 * side. About N bytes of heap. Building shows the first touch, probing shows random access.
 */
#include <unordered_map>
#include <vector>

#include "load.h"

namespace
{

struct row {
	uint64_t amount;
	uint32_t customer, flags;
};

/* A node with its header, its share of the buckets, and half a row of the probing side. */
constexpr uint64_t bytes_a_row = 64;

using table = std::unordered_map<uint64_t, row>;

table build(uint64_t rows)
{
	table built;

	built.reserve(rows); /* as a database does, by its estimate */
	for (uint64_t i = 0; i < rows; i++)
		built.emplace(load::number(i), row{i, static_cast<uint32_t>(i % 10007), 1});
	return built;
}

/* Foreign keys: three in four of them have a partner, in random order. */
std::vector<uint64_t> keys(uint64_t count, uint64_t rows)
{
	std::vector<uint64_t> found;

	for (uint64_t i = 0; i < count; i++)
		found.push_back(load::number(load::number(~i) % (rows + rows / 3)));
	return found;
}

void probe(const table &built, const std::vector<uint64_t> &foreign)
{
	uint64_t matches = 0, sum = 0;

	for (uint64_t key : foreign) {
		auto found = built.find(key);
		if (found == built.end())
			continue;
		matches++;
		sum += found->second.amount * (found->second.customer + found->second.flags);
	}
	std::printf("matches %llu\nchecksum %llu\n", static_cast<unsigned long long>(matches),
		static_cast<unsigned long long>(sum % 1000000007));
}

} // namespace

int main(int argc, char **argv)
{
	const uint64_t rows = load::bytes_option(argc, argv) / bytes_a_row + 1;

	load::phase building("build");
	table built = build(rows);
	building.done();
	std::vector<uint64_t> foreign = keys(rows, rows);
	load::phase probing("probe");
	probe(built, foreign);
	probing.done();
	std::printf("rows %llu\n", static_cast<unsigned long long>(built.size()));
	std::fflush(stdout);
	std::_Exit(0); /* programs that hold a database do not free it row by row at their end */
}
