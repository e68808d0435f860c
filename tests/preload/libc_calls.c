/* SPDX-License-Identifier: MIT */
/*
 * Parts of the C library that allocate, or free what they allocated before. Prints what they say.
 */
#include <dirent.h>
#include <glob.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <malloc.h>
#include <netdb.h>
#include <obstack.h>
#include <regex.h>
#include <search.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wordexp.h>

#include "check.h"

#define obstack_chunk_alloc malloc
#define obstack_chunk_free free

static void obstacks(void)
{
	struct obstack stack;
	unsigned long sum = 0;
	char *first = NULL;

	obstack_init(&stack);
	for (int i = 0; i < 20000; i++) {
		char text[64];
		int n = snprintf(text, sizeof(text), "line %d", i);
		char *copy = obstack_copy0(&stack, text, n);

		if (!first)
			first = copy;
		sum += (unsigned char)copy[n - 1];
	}
	printf("obstack %lu %s\n", sum, first);
	obstack_free(&stack, NULL);
}

static void streams(void)
{
	char *text = NULL, *line = NULL;
	size_t size = 0, capacity = 0, bytes = 0, lines = 0;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 30000; i++)
		fprintf(out, "%*d\n", i % 300 + 1, i);
	fclose(out);
	FILE *in = fmemopen(text, size, "r");
	while (getline(&line, &capacity, in) > 0) {
		lines++;
		bytes += strlen(line);
	}
	fclose(in);
	printf("getline %zu lines, %zu bytes\n", lines, bytes);
	free(line);
	free(text);
	CHECK(asprintf(&text, "%200000d|%s", 7, "end") == 200004);
	printf("asprintf %c %s\n", text[199999], text + 200001);
	free(text);
	for (int i = 0; i < 100; i++) {
		FILE *f = fopen("/dev/null", "w");

		setvbuf(f, NULL, _IOFBF, 100000);
		fprintf(f, "%d", i);
		fclose(f);
	}
	FILE *tmp = tmpfile();
	if (tmp) {
		for (int i = 0; i < 1000; i++)
			fwprintf(tmp, L"%d wide\n", i);
		fclose(tmp);
	}
}

static int compare(const void *a, const void *b)
{
	const unsigned int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void sorting(void)
{
	size_t n = 300000;
	uint32_t seed = 5;
	struct {
		unsigned int key;
		char rest[60];
	} *all = calloc(n, sizeof(*all));

	for (size_t i = 0; i < n; i++)
		all[i].key = next_random(&seed);
	qsort(all, n, sizeof(*all), compare);
	for (size_t i = 1; i < n; i++)
		CHECK(all[i - 1].key <= all[i].key);
	printf("qsort %u %u\n", all[0].key, all[n - 1].key);
	free(all);
	void *root = NULL;
	static unsigned int keys[1000];
	for (int i = 0; i < 1000; i++) {
		keys[i] = next_random(&seed);
		tsearch(&keys[i], &root, compare);
	}
	while (root)
		tdelete(*(void **)root, &root, compare);
}

static void names(void)
{
	struct dirent **list;
	glob_t found;
	wordexp_t words;
	regex_t regex;
	int n = scandir("/proc/self/task", &list, NULL, alphasort);

	for (int i = 0; i < n; i++)
		free(list[i]);
	if (n > 0)
		free(list);
	printf("scandir %d\n", n);
	CHECK(glob("/dev/nul*", 0, NULL, &found) == 0);
	printf("glob %s\n", found.gl_pathv[0]);
	globfree(&found);
	CHECK(wordexp("a 'b c' d$((1+2))", &words, 0) == 0);
	printf("wordexp %zu %s\n", words.we_wordc, words.we_wordv[2]);
	wordfree(&words);
	CHECK(regcomp(&regex, "^(a|b)*[0-9]{3,5}$", REG_EXTENDED) == 0);
	printf("regex %d %d\n", regexec(&regex, "abba1234", 0, NULL, 0) == 0,
		regexec(&regex, "abba12", 0, NULL, 0) == 0);
	regfree(&regex);
	char *cwd = getcwd(NULL, 0), *real = realpath("/dev/../dev/null", NULL),
	     *copy = strdup("dup");
	wchar_t *wide = wcsdup(L"wide");
	CHECK(cwd && real && copy && wide);
	printf("%s %s %ls\n", real, copy, wide);
	free(cwd);
	free(real);
	free(copy);
	free(wide);
}

static void others(void)
{
	locale_t locale = newlocale(LC_ALL_MASK, "C", NULL);
	iconv_t convert = iconv_open("UTF-16", "UTF-8");
	struct addrinfo *info = NULL, hints = {.ai_flags = AI_NUMERICHOST};

	freelocale(locale);
	if (convert != (iconv_t)-1)
		iconv_close(convert);
	setlocale(LC_ALL, "C.UTF-8");
	setlocale(LC_ALL, "C");
	if (getaddrinfo("127.0.0.1", "80", &hints, &info) == 0)
		freeaddrinfo(info);
	setenv("PG_TEST", "1", 1);
	for (int i = 0; i < 100; i++) {
		char value[2000];

		memset(value, 'v', sizeof(value));
		value[i * 19] = 0;
		setenv("PG_TEST", value, 1);
	}
	unsetenv("PG_TEST");
	tzset();
	FILE *p = popen("echo from popen", "r");
	char line[100] = "";
	CHECK(p && fgets(line, sizeof(line), p));
	pclose(p);
	printf("%s", line);
	FILE *sink = fopen("/dev/null", "w");
	CHECK(malloc_info(0, sink) == 0 && malloc_info(1, sink) == EINVAL);
	fclose(sink);
}

int main(void)
{
	obstacks();
	streams();
	sorting();
	names();
	others();
	return 0;
}
