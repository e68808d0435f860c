// SPDX-License-Identifier: MIT
// Work for node under pg64: garbage, buffers, JSON, compression, worker threads, a child process.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { createHash } = require('crypto');
const { execFileSync } = require('child_process');
const zlib = require('zlib');

let state = 42;
const rnd = () => (state = (state * 1103515245 + 12345) % 2147483648);

function churn(rounds) {
	let kept = [];
	let total = 0;
	for (let i = 0; i < rounds; i++) {
		kept.push({ n: rnd(), text: 'x'.repeat(rnd() % 50), list: [i, i * 2] });
		if (kept.length > 20000) {
			total += kept.reduce((sum, item) => sum + item.text.length, 0);
			kept = kept.filter((_, index) => index % 3 === 0);
		}
	}
	return total + kept.length;
}

async function main() {
	console.log(churn(300000));
	const text = JSON.stringify(Array.from({ length: 50000 }, (_, i) => ({ i, v: rnd() })));
	console.log(text.length, JSON.parse(text)[777].v);
	const parts = [];
	for (let i = 0; i < 400; i++)
		parts.push(Buffer.alloc(65536 + i, i & 255));
	const joined = Buffer.concat(parts);
	console.log(joined.length, createHash('sha256').update(joined).digest('hex'));
	console.log(zlib.gunzipSync(zlib.gzipSync(joined)).equals(joined));
	const map = new Map();
	for (let i = 0; i < 100000; i++)
		map.set(`k${rnd() % 30011}`, i);
	console.log(map.size, [...map.keys()].sort().slice(0, 3).join());
	const shared = new SharedArrayBuffer(1 << 20);
	const workers = [1, 2, 3].map((n) => new Promise((resolve, reject) => {
		const worker = new Worker(__filename, { workerData: { n, shared } });
		worker.on('message', resolve);
		worker.on('error', reject);
	}));
	console.log(await Promise.all(workers), new Int32Array(shared)[0]);
	const f = new Function('a', 'b',
		'let s = 0; for (let i = 0; i < a; i++) s += i ^ b; return s;');
	console.log(f(3000000, 5));
	console.log(execFileSync('sort', { input: 'b\na\n' }).toString());
	const memory = new WebAssembly.Memory({ initial: 16, maximum: 256 });
	memory.grow(64);
	console.log(memory.buffer.byteLength, String(await Promise.resolve('done')));
}

if (isMainThread) {
	main();
} else {
	Atomics.add(new Int32Array(workerData.shared), 0, workerData.n);
	state = workerData.n;
	parentPort.postMessage(churn(50000 * workerData.n));
}
