/* SPDX-License-Identifier: MIT */
/*
 * The emitter: one document in three forms, escapes, and a buffer that is too small.
 */
#include <errno.h>

#include "stats/emit.h"
#include "test.h"

static int compose(enum pg64_format format, char *buf, size_t size)
{
	struct pg64_emit emit;

	pg64_emit_start(&emit, format, buf, size, 42);
	pg64_emit_note(&emit, "title");
	pg64_emit_u64(&emit, "schema", 1, PG64_EMIT_META, "");
	pg64_emit_begin(&emit, "empty", "empty_");
	pg64_emit_end(&emit);
	pg64_emit_begin(&emit, "group", "group_");
	pg64_emit_u64(&emit, "big_bytes", 3 << 20, PG64_EMIT_GAUGE, "size");
	pg64_emit_u64(&emit, "none", 0, PG64_EMIT_COUNTER, "nothing");
	pg64_emit_u64(&emit, "most", UINT64_MAX, PG64_EMIT_COUNTER, "much");
	pg64_emit_bool(&emit, "on", true, "switch");
	pg64_emit_ppm(&emit, "ppm", true, 987654, "share");
	pg64_emit_end(&emit);
	pg64_emit_ppm(&emit, "other", false, 0, "share");
	pg64_emit_string(&emit, "text", "a\"b\\c\n\t\x7f\xc3\xa4\xff", "words");
	return pg64_emit_finish(&emit);
}

static void test_json(void)
{
	char text[1024] = "";
	int len = compose(PG64_FORMAT_JSON, text, sizeof(text) - 1);

	CHECK_EQ(len, strlen(text));
	CHECK_STR(text, "{\"schema\":1,\"empty\":{},\"group\":{\"big_bytes\":3145728,\"none\":0,"
			"\"most\":18446744073709551615,\"on\":true,\"ppm\":987654},\"other\":null,"
			"\"text\":\"a\\\"b\\\\c\\n\\u0009\\u007f\xc3\xa4\xef\xbf\xbd\"}\n");
}

static void test_text(void)
{
	char text[1024] = "";

	compose(PG64_FORMAT_TEXT, text, sizeof(text) - 1);
	CHECK_STR(text, "title\n"
			"  group_big_bytes                        3.0 MiB  size\n"
			"  group_most                    18446744073709551615  much\n"
			"  group_on                      yes\n"
			"  group_ratio                            98.76 %  share\n"
			"  ratio                                  unknown  share\n"
			"  text                          a\"b\\c???\xc3\xa4\xef\xbf\xbd\n");
}

static void test_openmetrics(void)
{
	char text[2048] = "";

	compose(PG64_FORMAT_OPENMETRICS, text, sizeof(text) - 1);
	CHECK_STR(text,
		"# TYPE pg64_group_big_bytes gauge\n"
		"# HELP pg64_group_big_bytes size\n"
		"pg64_group_big_bytes{pid=\"42\"} 3145728\n"
		"# TYPE pg64_group_none counter\n"
		"# HELP pg64_group_none nothing\n"
		"pg64_group_none_total{pid=\"42\"} 0\n"
		"# TYPE pg64_group_most counter\n"
		"# HELP pg64_group_most much\n"
		"pg64_group_most_total{pid=\"42\"} 18446744073709551615\n"
		"# TYPE pg64_group_on gauge\n"
		"# HELP pg64_group_on switch\n"
		"pg64_group_on{pid=\"42\"} 1\n"
		"# TYPE pg64_group_ratio gauge\n"
		"# HELP pg64_group_ratio share\n"
		"pg64_group_ratio{pid=\"42\"} 0.987654\n"
		"# TYPE pg64_text info\n"
		"# HELP pg64_text words\n"
		"pg64_text_info{pid=\"42\",value=\"a\\\"b\\\\c\\n??\xc3\xa4\xef\xbf\xbd\"} 1\n"
		"# EOF\n");
}

static void test_utf8(void)
{
	static const struct {
		const char *from;
		const char *to;
	} cases[] = {
		{"\xe2\x82\xac", "\xe2\x82\xac"}, /* euro */
		{"\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7"}, /* penguin */
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, /* slash, too long */
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
		{"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}, /* cut */
	};
	char text[128];
	char wanted[128];

	for (size_t i = 0; i < PG64_ARRAY_LEN(cases); i++) {
		struct pg64_emit emit;
		int len;

		pg64_emit_start(&emit, PG64_FORMAT_JSON, text, sizeof(text), 1);
		pg64_emit_string(&emit, "k", cases[i].from, "");
		len = pg64_emit_finish(&emit);
		REQUIRE(len > 0 && (size_t)len < sizeof(text));
		text[len] = '\0';
		snprintf(wanted, sizeof(wanted), "{\"k\":\"%s\"}\n", cases[i].to);
		CHECK_STR(text, wanted);
	}
}

static void test_small_buffer(void)
{
	char text[1024];
	int len = compose(PG64_FORMAT_JSON, text, sizeof(text));

	for (int size = 0; size < len; size++) {
		memset(text, '#', sizeof(text));
		CHECK_EQ(compose(PG64_FORMAT_JSON, text, (size_t)size), -ENOSPC);
		CHECK_EQ(text[size], '#');
	}
	CHECK_EQ(compose(PG64_FORMAT_JSON, text, (size_t)len), len);
}

int main(void)
{
	test_json();
	test_text();
	test_openmetrics();
	test_utf8();
	test_small_buffer();
	return test_result();
}
