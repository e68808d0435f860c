/* SPDX-License-Identifier: MIT */
/*
 * memcached_load SOCKET KEYS GETS VALUE-BYTES CONNECTIONS PIPELINE LATENCIES: fill a memcached on a
 * unix socket with KEYS values, then get GETS of them in random order, PIPELINE commands at a time
 * on each of the connections. Each value is got once before, in order, which is not timed: what the
 * first read of each page costs is left out. Every reply is compared whole with what it must
 * be. A line "set N" or "get N" goes to the file LATENCIES for each batch of commands that is
 * timed: nanoseconds from their sending to the last reply.
 *
 * Printed: set_s, get_s, sets, hits, misses. A get of an item that is not there is a miss and no
 * error here; any other reply that is not expected ends the program with 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_VALUE = 65536, MAX_BATCH = 128 * 1024, MAX_CONNECTIONS = 64, HEAD = 64 };

/* A connection, and what was read from it before it was asked for. */
struct stream {
	int fd;
	size_t low, high;
	char ahead[65536];
};

struct load {
	unsigned long keys, gets, value_bytes, connections, pipeline;
	struct stream streams[MAX_CONNECTIONS];
	unsigned long asked[MAX_CONNECTIONS][MAX_BATCH / HEAD]; /* keys of a batch */
	unsigned long hits, misses;
	double sent[MAX_CONNECTIONS]; /* when the batch was */
	uint64_t *taken_ns; /* of the sets' batches, then of the gets'; has room for a warm-up */
	unsigned long nr_set_batches, nr_batches;
	char batch[MAX_BATCH + HEAD], reply[MAX_BATCH + HEAD], value[MAX_VALUE + HEAD];
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "memcached_load: %s: %s\n", what, why);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		die(path, "too long a name for a unix socket");
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die(path, strerror(errno));
	return fd;
}

static void send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t done = write(fd, data, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			die("write", strerror(errno));
		data += done;
		len -= (size_t)done;
	}
}

/* Exactly len bytes; 0, or -1 at the end of the stream. */
static int receive(struct stream *from, char *data, size_t len)
{
	while (len) {
		if (from->low == from->high) {
			ssize_t got = read(from->fd, from->ahead, sizeof(from->ahead));
			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return -1;
			from->low = 0;
			from->high = (size_t)got;
		}
		size_t part = from->high - from->low < len ? from->high - from->low : len;
		memcpy(data, from->ahead + from->low, part);
		from->low += part;
		data += part;
		len -= part;
	}
	return 0;
}

/* The value of a key: its number, then filler that depends on it. Ends with the line's end. */
static size_t value_of(struct load *load, unsigned long key)
{
	memset(load->value, 'a' + (int)(key % 26), load->value_bytes);
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%016lx", key);
	memcpy(load->value, digits, (size_t)len);
	memcpy(load->value + load->value_bytes, "\r\n", 2);
	return load->value_bytes + 2;
}

static void send_sets(struct load *load, int fd, unsigned long first, unsigned long count)
{
	size_t len = 0;

	for (unsigned long key = first; key < first + count; key++) {
		len += (size_t)snprintf(load->batch + len, HEAD, "set key:%010lu 0 0 %lu\r\n", key,
			load->value_bytes);
		size_t value = value_of(load, key);
		memcpy(load->batch + len, load->value, value);
		len += value;
	}
	send_all(fd, load->batch, len);
}

static void expect_stored(struct load *load, struct stream *from, unsigned long count)
{
	static const char stored[] = "STORED\r\n";
	const size_t len = sizeof(stored) - 1;

	if (receive(from, load->reply, count * len))
		die("set", "the server hung up");
	for (unsigned long i = 0; i < count; i++)
		if (memcmp(load->reply + i * len, stored, len))
			die("set: not STORED", load->reply);
}

/* The replies to a connection's batch are there. */
static void note(struct load *load, unsigned long c, unsigned long count)
{
	if (count)
		load->taken_ns[load->nr_batches++] = (uint64_t)((now() - load->sent[c]) * 1e9);
}

static void set_all(struct load *load)
{
	unsigned long counts[MAX_CONNECTIONS];

	for (unsigned long key = 0; key < load->keys;) {
		for (unsigned long c = 0; c < load->connections; c++) {
			unsigned long left = load->keys - key;
			counts[c] = left < load->pipeline ? left : load->pipeline;
			load->sent[c] = now();
			send_sets(load, load->streams[c].fd, key, counts[c]);
			key += counts[c];
		}
		for (unsigned long c = 0; c < load->connections; c++) {
			expect_stored(load, &load->streams[c], counts[c]);
			note(load, c, counts[c]);
		}
	}
}

/* Of keys taken at random, or else of those from the next one on. */
static void send_gets(struct load *load, unsigned long c, unsigned long count, uint64_t *random,
	unsigned long next)
{
	size_t len = 0;

	for (unsigned long i = 0; i < count; i++) {
		unsigned long key = next++;

		if (random) {
			*random = *random * 6364136223846793005u + 1442695040888963407u;
			key = (unsigned long)((*random >> 32) * load->keys >> 32);
		}
		load->asked[c][i] = key;
		len += (size_t)snprintf(load->batch + len, HEAD, "get key:%010lu\r\n", key);
	}
	send_all(load->streams[c].fd, load->batch, len);
}

/* One reply: "END", or a value that must be the key's, then "END". */
static void expect_value(struct load *load, struct stream *from, unsigned long key)
{
	static const char end[] = "END\r\n";
	const size_t end_len = sizeof(end) - 1;
	char head[HEAD];

	if (receive(from, load->reply, end_len))
		die("get", "the server hung up");
	if (!memcmp(load->reply, end, end_len)) {
		load->misses++;
		return;
	}
	size_t len = (size_t)snprintf(
		head, sizeof(head), "VALUE key:%010lu 0 %lu\r\n", key, load->value_bytes);
	size_t value = value_of(load, key), rest = len + value;
	if (receive(from, load->reply + end_len, rest))
		die("get", "the server hung up");
	if (memcmp(load->reply, head, len) || memcmp(load->reply + len, load->value, value) ||
		memcmp(load->reply + len + value, end, end_len))
		die("get: not the key's value", head);
	load->hits++;
}

static void get_all(struct load *load, unsigned long gets, uint64_t *random)
{
	unsigned long counts[MAX_CONNECTIONS];

	for (unsigned long done = 0; done < gets;) {
		for (unsigned long c = 0; c < load->connections; c++) {
			unsigned long left = gets - done;
			counts[c] = left < load->pipeline ? left : load->pipeline;
			load->sent[c] = now();
			send_gets(load, c, counts[c], random, done);
			done += counts[c];
		}
		for (unsigned long c = 0; c < load->connections; c++) {
			for (unsigned long i = 0; i < counts[c]; i++)
				expect_value(load, &load->streams[c], load->asked[c][i]);
			note(load, c, counts[c]);
		}
	}
}

/* What is got here does not count. */
static void warm_up(struct load *load)
{
	get_all(load, load->keys, NULL);
	load->nr_batches = load->nr_set_batches;
	load->hits = load->misses = 0;
}

static void write_latencies(const struct load *load, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		die(path, strerror(errno));
	for (unsigned long i = 0; i < load->nr_batches; i++)
		fprintf(file, "%s %" PRIu64 "\n", i < load->nr_set_batches ? "set" : "get",
			load->taken_ns[i]);
	if (fclose(file))
		die(path, strerror(errno));
}

static unsigned long parse(const char *text, unsigned long low, unsigned long high)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < low || value > high)
		die(text, "not a number in range");
	return value;
}

int main(int argc, char **argv)
{
	static struct load load;
	uint64_t random = 1;

	if (argc != 8)
		die("usage", "SOCKET KEYS GETS VALUE-BYTES CONNECTIONS PIPELINE LATENCIES");
	load.keys = parse(argv[2], 1, 0xffffffff);
	load.gets = parse(argv[3], 1, 0xffffffff);
	load.value_bytes = parse(argv[4], 16, MAX_VALUE);
	load.connections = parse(argv[5], 1, MAX_CONNECTIONS);
	/* A batch fits the socket's buffers, so that neither side waits for the other to read. */
	load.pipeline = parse(argv[6], 1, MAX_BATCH / (load.value_bytes + HEAD));
	for (unsigned long c = 0; c < load.connections; c++)
		load.streams[c].fd = dial(argv[1]);
	load.taken_ns =
		calloc(load.keys / load.pipeline + (load.keys + load.gets) / load.pipeline + 3,
			sizeof(*load.taken_ns));
	if (!load.taken_ns)
		die("latencies", strerror(errno));
	double begin = now();
	set_all(&load);
	double set = now();
	load.nr_set_batches = load.nr_batches;
	warm_up(&load);
	double warm = now();
	get_all(&load, load.gets, &random);
	double end = now();
	write_latencies(&load, argv[7]);
	printf("set_s %.6f\nget_s %.6f\nsets %lu\nhits %lu\nmisses %lu\n", set - begin, end - warm,
		load.keys, load.hits, load.misses);
	free(load.taken_ns);
	return 0;
}
