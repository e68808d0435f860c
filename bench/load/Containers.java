// SPDX-License-Identifier: MIT
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Work for a Java machine: Containers N: a map of N objects, built, walked, and thinned out. */
public final class Containers {
	private static final class Node {
		final long value;
		final byte[] text;
		Node next;

		Node(long value) {
			this.value = value;
			this.text = new byte[(int) (value & 127)];
		}
	}

	private static long number(long position) {
		long z = (position + 1) * 0x9e3779b97f4a7c15L;
		z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
		z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
		return z ^ (z >>> 31);
	}

	public static void main(String[] args) {
		int count = Integer.parseInt(args[0]);
		Map<Long, Node> map = new HashMap<>();
		List<Node> order = new ArrayList<>();
		for (int i = 0; i < count; i++) {
			Node node = new Node(number(i));
			map.put(number(i), node);
			if (i % 3 != 0)
				node.next = order.get(order.size() - 1);
			if (i % 3 != 2)
				order.add(node);
		}
		System.out.println("built " + map.size() + " " + order.size());
		long sum = 0;
		for (int i = 0; i < count; i++) {
			Node node = map.get(number((number(i) & Long.MAX_VALUE) % count));
			for (int steps = 0; node != null && steps < 4; node = node.next, steps++)
				sum += node.value + node.text.length;
		}
		System.out.println("walked " + sum);
		map.keySet().removeIf(key -> (key & 1) == 0);
		long left = 0;
		for (Node node : map.values())
			left += node.value;
		System.out.println("left " + map.size() + " " + left);
	}
}
