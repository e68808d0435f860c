# SPDX-License-Identifier: MIT
"""Every workload of the suite, in the order of the report."""
import alloc
import micro
from memcached_load import Memcached
from postgres_load import PostgresMemory, PostgresSelect, PostgresUpdate
from redis_load import Redis, RedisSave

ALL = (*micro.ALL, *alloc.ALL, PostgresMemory(), PostgresUpdate(), PostgresSelect(), Redis(), RedisSave(), Memcached())
