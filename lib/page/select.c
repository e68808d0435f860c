/* SPDX-License-Identifier: MIT */
/*
 * Which backend serves which kind of memory: probed best first on first use, and its gate closed
 * for good when it fails later.
 */
#include <errno.h>

#include "base/counters.h"
#include "base/fmt.h"
#include "page/probe.h"

/* With base pages of 16 KiB a PMD-size page has 32 MiB: too much to be ahead of use. */
#define BORN_MAX (2 * PG64_MIB)

/* Consecutive failures, of those that may pass, after which collapsing is not tried any more. */
#define COLLAPSE_FAILURES_MAX 64

static const struct pg64_page_backend *const backends[PG64_BACKENDS] = {
	[PG64_BACKEND_PATCHED] = &pg64_page_patched,
	[PG64_BACKEND_MTHP] = &pg64_page_mthp,
	[PG64_BACKEND_COLLAPSE] = &pg64_page_collapse,
	[PG64_BACKEND_BASE] = &pg64_page_base,
};

static const enum pg64_counter gate_counters[PG64_BACKENDS] = {
	[PG64_BACKEND_PATCHED] = PG64_C_gate_patched_closed,
	[PG64_BACKEND_MTHP] = PG64_C_gate_mthp_closed,
	[PG64_BACKEND_COLLAPSE] = PG64_C_gate_collapse_closed,
};

static struct {
	enum pg64_backend forced;
	bool pmd_allowed;
} policy;

static struct kind_state {
	_Atomic uint32_t chosen; /* enum pg64_backend; UNKNOWN: not probed */
	_Atomic uint32_t closed; /* bit mask of closed gates */
	_Atomic bool pmd_wins;
	_Atomic int closed_by[PG64_BACKENDS]; /* the error that closed the gate */
	char reason[160];
} state[PG64_MEM_KINDS];

static _Atomic unsigned int collapse_failures; /* since the last success */
static _Atomic bool collapse_proved;

void pg64_page_init(const struct pg64_config *config)
{
	policy.forced = config->backend;
	policy.pmd_allowed = config->pmd == PG64_PMD_ALLOW;
	pg64_promotion_init(config->pmd == PG64_PMD_AUTO);
}

void pg64_page_reset(void)
{
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		state[kind].chosen = PG64_BACKEND_UNKNOWN;
		state[kind].closed = 0;
		state[kind].pmd_wins = false;
		state[kind].reason[0] = '\0';
		pg64_live.backend[kind] = PG64_BACKEND_UNKNOWN;
	}
	collapse_failures = 0;
	collapse_proved = false;
}

static void probe_one(enum pg64_backend id, enum pg64_mem kind, struct pg64_probe *probe, bool deep)
{
	*probe = (struct pg64_probe){
		.size = sizeof(*probe), .version = 1, .backend = id, .kind = kind};
	if (id != PG64_BACKEND_BASE && pg64_page_bytes() >= PG64_GRANULE) {
		probe->error = -EOPNOTSUPP;
		pg64_snprintf(probe->reason, sizeof(probe->reason),
			"base pages are %zu KiB here: there is nothing to do",
			pg64_page_bytes() / 1024);
		return;
	}
	backends[id]->probe(kind, probe, deep);
}

/* The best backend whose gate is open; why the better ones are not goes into the reason of base. */
static void probe_best(enum pg64_mem kind, uint32_t closed, enum pg64_backend only,
	struct pg64_probe *best, bool deep)
{
	char why[sizeof(best->reason)] = "";

	for (int id = PG64_BACKEND_PATCHED; id < PG64_BACKENDS; id++) {
		if (id != PG64_BACKEND_BASE && (closed >> id & 1)) {
			pg64_snprintf(why, sizeof(why),
				"%s: it failed with error %d and is not used any more",
				pg64_backend_name(id), -state[kind].closed_by[id]);
			continue;
		}
		if (only != PG64_BACKEND_UNKNOWN && id != (int)only && id != PG64_BACKEND_BASE)
			continue;
		probe_one(id, kind, best, deep);
		pg64_verbose(2, "probe %s for %s: %s", pg64_backend_name(id), pg64_mem_name(kind),
			best->reason);
		if (best->error == 0)
			break;
		/* What a user can mend is most often mthp; else keep the first reason. */
		if (why[0] == '\0' || id == PG64_BACKEND_MTHP)
			pg64_snprintf(
				why, sizeof(why), "%s: %s", pg64_backend_name(id), best->reason);
	}
	if (best->backend == PG64_BACKEND_BASE && why[0] != '\0')
		pg64_snprintf(best->reason, sizeof(best->reason), "%s", why);
}

static enum pg64_backend choose(enum pg64_mem kind)
{
	struct kind_state *s = &state[kind];
	struct pg64_probe best;

	probe_best(kind, s->closed, policy.forced, &best, false);
	if (s->chosen == PG64_BACKEND_UNKNOWN || s->chosen != best.backend) {
		s->pmd_wins = best.pmd_wins;
		pg64_snprintf(s->reason, sizeof(s->reason), "%s", best.reason);
	}
	s->chosen = best.backend;
	__atomic_store_n(&pg64_live.backend[kind], best.backend, __ATOMIC_RELAXED);
	pg64_verbose(1, "%s memory: backend %s (%s)", pg64_mem_name(kind),
		pg64_backend_name(best.backend), best.reason);
	return best.backend;
}

enum pg64_backend pg64_page_backend(enum pg64_mem kind)
{
	enum pg64_backend chosen = state[kind].chosen;

	return chosen != PG64_BACKEND_UNKNOWN ? chosen : choose(kind);
}

enum pg64_backend pg64_page_backend_known(enum pg64_mem kind)
{
	return state[kind].chosen;
}

const char *pg64_page_reason(enum pg64_mem kind)
{
	if (state[kind].chosen == PG64_BACKEND_UNKNOWN)
		return "not needed yet: the process is below the thresholds";
	return state[kind].reason;
}

static bool is_limit(int error)
{
	return error == -ENOMEM || error == -EAGAIN || error == -EBUSY;
}

static enum pg64_backend close_gate(enum pg64_mem kind, enum pg64_backend id, int error)
{
	uint32_t bit = 1u << id;

	state[kind].closed_by[id] = error;
	if (!(__atomic_fetch_or((uint32_t *)&state[kind].closed, bit, __ATOMIC_RELAXED) & bit)) {
		pg64_count(gate_counters[id]);
		pg64_verbose(1,
			"%s memory: backend %s failed with error %d and is not used any more",
			pg64_mem_name(kind), pg64_backend_name(id), -error);
	}
	return choose(kind);
}

enum pg64_backend pg64_page_advise(void *addr, size_t len, enum pg64_mem kind)
{
	enum pg64_backend id = pg64_page_backend(kind);

	while (id != PG64_BACKEND_BASE) {
		int ret = backends[id]->advise(addr, len, kind);
		if (ret == 0)
			return id;
		pg64_count(PG64_C_fail_advise);
		if (is_limit(ret))
			return PG64_BACKEND_BASE;
		id = close_gate(kind, id, ret);
	}
	return id;
}

int pg64_page_advise_once(void *addr, size_t len, enum pg64_mem kind)
{
	enum pg64_backend id = pg64_page_backend(kind);

	if (id != PG64_BACKEND_PATCHED && id != PG64_BACKEND_MTHP)
		return -EOPNOTSUPP;
	int ret = backends[id]->advise(addr, len, kind);
	if (ret < 0)
		pg64_count(PG64_C_fail_advise);
	return ret;
}

bool pg64_page_promotes(void)
{
	uint32_t chosen = state[PG64_MEM_HEAP].chosen;

	return chosen != PG64_BACKEND_UNKNOWN && chosen != PG64_BACKEND_BASE && pg64_promotion_on();
}

bool pg64_page_wants_populate(void)
{
	/* Where the fence is all that keeps the PMD-size page out, one fault brings it. */
	return backends[pg64_page_backend(PG64_MEM_HEAP)]->populate ||
	       (pg64_page_promotes() && pg64_page_needs_fence(PG64_MEM_HEAP) &&
		       pg64_pmd_bytes() <= BORN_MAX);
}

bool pg64_page_populate(void *addr, size_t len)
{
	enum pg64_backend id = pg64_page_backend(PG64_MEM_HEAP);

	if (!backends[id]->populate)
		return pg64_page_wants_populate() && pg64_promotion_populate(addr, len);
	int ret = backends[id]->populate(addr, len);
	if (ret == 0) {
		collapse_failures = 0;
		collapse_proved = true;
		pg64_count(PG64_C_collapse_ok);
		return true;
	}
	pg64_count(PG64_C_fail_collapse);
	/*
	 * Where collapsing works, -EINVAL is about one stretch, in which the program has made a
	 * VMA of its own by mprotect(), mlock() or advice.
	 */
	bool passing = is_limit(ret) || (ret == -EINVAL && collapse_proved);
	if (!passing || ++collapse_failures >= COLLAPSE_FAILURES_MAX)
		close_gate(PG64_MEM_HEAP, id, ret);
	return false;
}

bool pg64_page_needs_fence(enum pg64_mem kind)
{
	return kind != PG64_MEM_SHARED && state[kind].chosen == PG64_BACKEND_MTHP &&
	       state[kind].pmd_wins && !policy.pmd_allowed;
}

PG64_EXPORT int pg64_probe(enum pg64_backend backend, enum pg64_mem kind, struct pg64_probe *probe)
{
	if (!probe || probe->size < sizeof(*probe) || backend >= PG64_BACKENDS ||
		kind >= PG64_MEM_KINDS)
		return -EINVAL;
	if (backend == PG64_BACKEND_UNKNOWN)
		probe_best(kind, 0, PG64_BACKEND_UNKNOWN, probe, true);
	else
		probe_one(backend, kind, probe, true);
	return 0;
}
