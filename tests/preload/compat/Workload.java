// SPDX-License-Identifier: MIT
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

/** Work for a Java machine under pg64: garbage, threads, direct buffers, native zlib, a process. */
public final class Workload {
	private static long churn(long seed, int rounds) {
		Map<String, List<long[]>> map = new HashMap<>();
		long state = seed;
		long sum = 0;
		for (int i = 0; i < rounds * 1000; i++) {
			state = (state * 6364136223846793005L + 1442695040888963407L);
			String key = "k" + (state >>> 50);
			long[] block = new long[(int) (state >>> 59)];
			map.computeIfAbsent(key, k -> new ArrayList<>()).add(block);
			if (map.size() > 5000) {
				sum += map.values().stream().mapToLong(List::size).sum();
				map = new HashMap<>();
			}
		}
		return sum + map.size();
	}

	private static long nativeMemory(int rounds) {
		CRC32 crc = new CRC32();
		List<ByteBuffer> kept = new ArrayList<>();
		for (int i = 0; i < rounds; i++) {
			ByteBuffer buffer = ByteBuffer.allocateDirect(100_000 + i * 1000);
			for (int k = 0; k < buffer.capacity(); k += 64)
				buffer.put(k, (byte) (k + i));
			crc.update(buffer.duplicate());
			kept.add(buffer);
			Deflater deflater = new Deflater(6);
			deflater.setInput(new byte[50_000]);
			deflater.finish();
			crc.update(deflater.deflate(new byte[60_000]));
			deflater.end();
		}
		return crc.getValue() + kept.size();
	}

	public static void main(String[] args) throws Exception {
		int rounds = Integer.parseInt(args[0]);
		ExecutorService pool = Executors.newFixedThreadPool(4);
		List<Future<Long>> futures = new ArrayList<>();
		for (int i = 0; i < 4; i++) {
			long seed = i;
			futures.add(pool.submit(() -> churn(seed, rounds)));
		}
		for (Future<Long> future : futures)
			System.out.println(future.get());
		pool.shutdown();
		System.out.println(pool.awaitTermination(60, TimeUnit.SECONDS));
		System.out.println(nativeMemory(rounds));
		TreeMap<Integer, String> tree = new TreeMap<>();
		for (int i = 0; i < 50_000; i++)
			tree.put(i * 31 % 50_021, Integer.toHexString(i));
		System.out.println(tree.firstEntry() + " " + tree.lastEntry() + " " + tree.size());
		System.out.println(new ProcessBuilder("true").start().waitFor());
	}
}
