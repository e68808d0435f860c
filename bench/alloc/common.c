/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common.h"

static _Noreturn void usage(const char *program)
{
	fprintf(stderr, "usage: %s [--threads 1..%d] [--scale S]\n", program, MAX_THREADS);
	exit(2);
}

void parse_options(struct options *options, int argc, char **argv)
{
	*options = (struct options){.threads = 1, .scale = 1};
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		char *end = NULL;
		double number = strtod(value, &end);

		if (end == value || *end || !isfinite(number) || number <= 0)
			usage(argv[0]);
		if (!strcmp(argv[i], "--scale") && number <= 1000)
			options->scale = number;
		else if (!strcmp(argv[i], "--threads") && number <= MAX_THREADS &&
			 number == floor(number))
			options->threads = (unsigned)number;
		else
			usage(argv[0]);
	}
}

uint64_t scaled(const struct options *options, uint64_t count)
{
	uint64_t result = (uint64_t)((double)count * options->scale);

	return result ? result : 1;
}

uint64_t share(uint64_t total, unsigned threads, unsigned index)
{
	return total / threads + (index < total % threads);
}

struct start {
	pthread_t id;
	unsigned index;
	void (*work)(unsigned index, void *argument);
	void *argument;
};

static void *thread_main(void *argument)
{
	struct start *start = argument;

	start->work(start->index, start->argument);
	return NULL;
}

void run_threads(unsigned threads, void (*work)(unsigned index, void *argument), void *argument)
{
	struct start starts[MAX_THREADS];

	for (unsigned i = 1; i < threads; i++) {
		starts[i] = (struct start){.index = i, .work = work, .argument = argument};
		errno = pthread_create(&starts[i].id, NULL, thread_main, &starts[i]);
		if (errno) {
			perror("pthread_create");
			exit(1);
		}
	}
	work(0, argument);
	for (unsigned i = 1; i < threads; i++)
		pthread_join(starts[i].id, NULL);
}

void print_metric(const char *name, uint64_t value)
{
	printf("%s %" PRIu64 "\n", name, value);
}

void corrupt(const char *what)
{
	char line[200];
	int len = snprintf(line, sizeof(line), "corrupt: %s\n", what);

	if (write(STDERR_FILENO, line, (size_t)len) != len)
		_exit(1);
	_exit(1);
}

void *get_block(size_t size)
{
	void *block = malloc(size);

	if (!block) {
		perror("malloc");
		_exit(1);
	}
	return block;
}

struct parts {
	uint64_t (*work)(unsigned index, unsigned threads, uint64_t steps);
	unsigned threads;
	uint64_t steps;
	uint64_t checksum[MAX_THREADS];
};

static void one_part(unsigned index, void *argument)
{
	struct parts *parts = argument;

	parts->checksum[index] =
		parts->work(index, parts->threads, share(parts->steps, parts->threads, index));
}

int run_parts(int argc, char **argv, uint64_t total,
	uint64_t (*work)(unsigned index, unsigned threads, uint64_t steps))
{
	static struct parts parts;
	struct options options;
	uint64_t checksum = 0;

	parse_options(&options, argc, argv);
	parts.work = work;
	parts.threads = options.threads;
	parts.steps = scaled(&options, total);
	run_threads(options.threads, one_part, &parts);
	for (unsigned i = 0; i < options.threads; i++)
		checksum += parts.checksum[i];
	print_metric("operations", parts.steps);
	print_metric("checksum", checksum);
	return 0;
}
