#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Make libpg64.a of one object in which only the symbols of the map file are global, so that a
# program that links it sees no name of pg64's inside, nor of the heap engine's.
#
# usage: prelink.sh LD OBJCOPY AR MAP OUT OBJECT...
set -eu
ld=$1 objcopy=$2 ar=$3 map=$4 out=$5
shift 5
work=$out.tmp
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
sed -e 's,/\*.*\*/,,' -n -e '/global:/,/local:/p' "$map" | tr ';' '\n' |
	sed -e 's/global://; s/local://; s/[[:space:]]//g' -e '/^$/d' >"$work/globals"
"$ld" -r -o "$work/pg64.o" "$@"
"$objcopy" --keep-global-symbols="$work/globals" "$work/pg64.o"
rm -f "$out"
"$ar" rcs "$out" "$work/pg64.o"
