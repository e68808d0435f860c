// SPDX-License-Identifier: MIT
// Work for node: containers.js N: a Map, arrays, objects and strings of about N entries each.
'use strict';

let state = 42;

// xorshift: 31 bits
function number() {
	state ^= state << 13;
	state ^= state >>> 17;
	state ^= state << 5;
	return state >>> 1;
}

const count = Number(process.argv[2]);
const map = new Map();
for (let i = 0; i < count; i++) {
	const list = [i, i * 2, i * 3];
	map.set(`key ${number()}`, { n: number(), list, text: 'x'.repeat(i % 40) });
}
let sum = 0;
for (const [key, value] of map)
	sum = (sum + key.length + value.n + value.list[2] + value.text.length) % 1000007;
console.log('map', map.size, sum);
const rows = Array.from(map.values()).filter((row) => row.n % 3 === 0);
rows.sort((a, b) => a.n - b.n);
console.log('rows', rows.length, rows[rows.length >> 1].n);
const doubles = new Float64Array(count * 4).map((_, i) => i * 0.5);
console.log('doubles', doubles.reduce((a, b) => a + b, 0));
const text = JSON.stringify(rows.slice(0, count >> 2));
console.log('text', text.length, JSON.parse(text).length);
