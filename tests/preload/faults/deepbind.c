/* SPDX-License-Identifier: MIT */
/*
 * deepbind PLUGIN: opens a library with RTLD_DEEPBIND. Its malloc is then that of the C library,
 * and blocks of it that the program frees are foreign to pg64.
 */
#include <dlfcn.h>
#include <malloc.h>

#include "check.h"

#define BLOCKS 100

int main(int argc, char **argv)
{
	void *plugin = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_DEEPBIND);
	void *(*make)(size_t), *(*round_trip)(size_t);
	unsigned long long before = counter("foreign_free");

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&make = dlsym(plugin, "plugin_make");
	*(void **)&round_trip = dlsym(plugin, "plugin_round");
	CHECK(make && round_trip);
	for (int i = 0; i < BLOCKS; i++) {
		char *block = make(1000);

		CHECK(block);
		memset(block, i, 1000);
		CHECK(malloc_usable_size(block) == 0);
		free(block);
		CHECK(block[0] == (char)i && block[999] == (char)i);
		CHECK(round_trip(5000));
	}
	CHECK(counter("foreign_free") == before + BLOCKS);
	CHECK(dlclose(plugin) == 0);
	puts("went on");
	return 0;
}
