#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
# Work for perl under pg64: hashes, strings, patterns, closures, fork.
use strict;
use warnings;

my (%table, @list);
my $state = 12345;
sub rnd { $state = ($state * 1103515245 + 12345) % 2147483648; return $state; }

for my $i (1 .. 150_000) {
	my $n = rnd();
	push @{ $table{"key " . $n % 5003} }, $n;
	push @list, "item $n";
}
my $sum = 0;
$sum += scalar(@{ $table{$_} }) * length($_) for sort keys %table;
print scalar(keys %table), " $sum\n";
print join(",", (sort @list)[0 .. 4]), "\n";
my $text = join " ", @list;
my $count = () = $text =~ /item (\d)\1/g;
(my $copy = $text) =~ s/item (\d+)/<$1>/g;
print length($text), " $count ", length($copy), "\n";
my @subs = map { my $k = $_; sub { return $k * $_[0] } } 1 .. 10_000;
my $total = 0;
$total += $_->(3) for @subs;
print "$total\n";
delete $table{$_} for (sort keys %table)[0 .. 2000];
print unpack("%32C*", join "", sort keys %table), "\n";
my $big = "";
$big .= chr(65 + $_ % 26) x 4096 for 1 .. 2000;
print length($big), " ", substr($big, 4_000_000, 3), "\n";
$| = 1;
my $pid = fork;
if (!$pid) {
	my @more = map { "x" x ($_ % 100) } 1 .. 50_000;
	print "child ", scalar(@more), "\n";
	exit 5;
}
waitpid $pid, 0;
print "parent ", $? >> 8, "\n";
print `echo from a shell | tr a-z A-Z`;
