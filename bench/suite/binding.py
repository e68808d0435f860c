# SPDX-License-Identifier: MIT
"""Which file serves malloc in a running process, by what its program really calls.

A preloaded library may be there and not be used (a program that is linked with an allocator of its
own, symbols that were bound early), so the answer is not taken from a list of libraries: the
program's global offset table is read in the process, and the address in it looked up in its maps.
"""
import os
import struct

import pages
from workload import SampleError

SHT_RELA, SHT_DYNSYM = 4, 11


def _sections(data):
    """[(type, offset, size, link, entry size)] of a 64-bit ELF file."""
    offset, = struct.unpack_from("=Q", data, 40)
    size, count = struct.unpack_from("=HH", data, 58)
    found = []
    for number in range(count):
        _, kind, _, _, at, length, link, _, _, entry = struct.unpack_from(
            "=IIQQQQIIQQ", data, offset + number * size)
        found.append((kind, at, length, link, entry))
    return found


def slots(data, symbol):
    """Addresses, as in the file, of the words that the loader fills with a symbol's address."""
    sections = _sections(data)
    found = []
    for kind, at, length, link, entry in sections:
        if kind != SHT_RELA or not entry or sections[link][0] != SHT_DYNSYM:
            continue
        _, symbols, _, strings_link, symbol_size = sections[link]
        strings = sections[strings_link][1]
        for position in range(at, at + length, entry):
            where, info, addend = struct.unpack_from("=QQq", data, position)
            name, = struct.unpack_from("=I", data, symbols + (info >> 32) * symbol_size)
            end = data.index(b"\0", strings + name)
            if info >> 32 and not addend and data[strings + name:end] == symbol.encode():
                found.append(where)
    return found


def provider(pid, symbol="malloc"):
    """Path of the file whose code the program of a process calls for a symbol."""
    program = os.readlink(f"/proc/{pid}/exe")
    with open(f"/proc/{pid}/exe", "rb") as file:
        data = file.read()
    movable = struct.unpack_from("=H", data, 16)[0] == 3  # ET_DYN
    regions = pages.regions(pid)
    base = min(region.start for region in regions if region.name == program) if movable else 0
    where = slots(data, symbol)
    if not where:
        raise SampleError(f"{program} does not call {symbol}")
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for slot in where:
            memory.seek(base + slot)
            address, = struct.unpack("=Q", memory.read(8))
            file = next((region.name for region in regions
                         if region.start <= address < region.end), program)
            if file != program:  # else not bound yet: it is at the first call
                return file
    raise SampleError(f"{program} has not called {symbol} yet")


def check(pid, variant, own=None):
    """SampleError unless malloc of a process is the variant's. `own`: start of the file name of
    the allocator where the variant preloads none (the C library's by default)."""
    library = variant.library()
    found = os.path.basename(provider(pid))
    wanted = os.path.basename(os.path.realpath(library)) if library else own or "libc"
    if found != wanted if library else not found.startswith(wanted):
        raise SampleError(f"{variant.name}: malloc is {found}'s, not {wanted}'s")
