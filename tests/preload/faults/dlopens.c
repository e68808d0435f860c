/* SPDX-License-Identifier: MIT */
/*
 * dlopens LIBRARY [PLUGIN]: opens and closes libpg64.so at run time, again and again, while
 * threads allocate and open and close another library. malloc stays whose it was.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"

#define ROUNDS 60
#define THREADS 4

static const char *plugin;
static _Atomic int at_work = 1;

static void *work(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg;

	while (at_work) {
		void *handle = plugin ? dlopen(plugin, RTLD_NOW) : NULL;
		size_t size = 1 + next_random(&random) % (64 * KIB);
		char *p = malloc(size);

		CHECK(p && (!plugin || handle));
		memset(p, 1, size);
		free(p);
		if (handle)
			CHECK(dlclose(handle) == 0);
	}
	return NULL;
}

static void open_and_close(const char *path, int flags)
{
	void *(*own_malloc)(size_t);
	void (*own_free)(void *);
	void *handle = dlopen(path, flags);

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&own_malloc = dlsym(handle, "malloc");
	*(void **)&own_free = dlsym(handle, "free");
	CHECK(own_malloc && own_free);
	for (size_t size = 1; size < MIB; size *= 3) {
		void *theirs = malloc(size);
		void *ours = own_malloc(size);

		CHECK(theirs && ours);
		memset(ours, 1, size);
		memset(theirs, 2, size);
		own_free(ours);
		free(theirs);
	}
	CHECK(dlclose(handle) == 0);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	CHECK(argc > 1);
	plugin = argc > 2 ? argv[2] : NULL;
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < ROUNDS; i++)
		open_and_close(argv[1], i % 3 == 0   ? RTLD_NOW | RTLD_LOCAL
					: i % 3 == 1 ? RTLD_LAZY | RTLD_GLOBAL
						     : RTLD_NOW | RTLD_DEEPBIND);
	at_work = 0;
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	puts("opened");
	return 0;
}
