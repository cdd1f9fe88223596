"""Spoil inputs of all kinds, and tell how many of each kind were refused, were taken, or showed a fault.

    python tests/benchmarks/fuzz.py [COUNT] [SEED] [KIND ...]

The commands run in a process of their own: one that does not come back is ended, counted as a hang, and started again
behind it. Faults are printed with their number, which with the seed makes the same input again, and kept in
fuzz-faults/ of the working directory. Prints a Markdown table; the exit status is 1 if there was a fault.
"""

import multiprocessing
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzzing import BYTES, KINDS, LINES, SECONDS, Attempt, attempts

PATIENCE = 4 * SECONDS  # for what does not even stop by an alarm
VERDICTS = ("clean", "taken", "traceback", "hang", "memory", "long", "silent", "written")


def main(count, seed, kinds):
    counts, seconds = defaultdict(Counter), Counter()
    start = time.perf_counter()
    for number, attempt in supervised(count, seed, kinds):
        counts[attempt.kind][attempt.verdict] += 1
        seconds[attempt.kind] += attempt.seconds
        if attempt.problem:
            keep(number, attempt)
    print(f"{count} inputs, seed {seed}, {time.perf_counter() - start:.0f} s")
    print(f"(long: more than {LINES} lines; hang: more than {SECONDS} s; memory: more than {BYTES / 1e9:.0f} GB)\n")
    print("| kind | tried | " + " | ".join(VERDICTS) + " | s |")
    print("| --- |" + " --- |" * (len(VERDICTS) + 2))
    for kind in (*kinds, "all"):
        found = sum(counts.values(), Counter()) if kind == "all" else counts[kind]
        took = seconds.total() if kind == "all" else seconds[kind]
        row = [sum(found.values()), *(found[verdict] for verdict in VERDICTS), f"{took:.0f}"]
        print(f"| {kind} | " + " | ".join(map(str, row)) + " |")
    faults = sum(found[verdict] for found in counts.values() for verdict in VERDICTS[2:])
    return 1 if faults else 0


def supervised(count, seed, kinds):
    """Yield numbers and attempts of a process that is started again behind what it does not come back from."""
    number = 0
    context = multiprocessing.get_context("spawn")
    while number < count:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(sender, seed, number, count, kinds), daemon=True)
        process.start()
        sender.close()
        while number < count:
            try:
                ended = not receiver.poll(PATIENCE + 60 * (process.exitcode is None and number == 0))
                attempt = None if ended else receiver.recv()
            except EOFError:
                attempt = None
            if attempt is None:
                kind = kinds[number % len(kinds)]
                attempt = Attempt(kind, None, "hang: it had to be killed", PATIENCE, f"{seed} {number}", "")
                yield number, attempt
                number += 1
                break
            yield number, attempt
            number += 1
        process.kill()
        process.join()


def work(sender, seed, first, count, kinds):
    with tempfile.TemporaryDirectory() as folder:
        for attempt in attempts(Path(folder), seed, range(first, count), kinds):
            sender.send(attempt)


def keep(number, attempt):
    folder = Path("fuzz-faults")
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.txt").write_text(attempt.text, encoding="utf-8", errors="surrogatepass")
    message = " / ".join(attempt.message.splitlines()[:2])[:200]
    print(f"{number} {attempt.kind}: {attempt.problem[:300]} {message!r}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    chosen = tuple(given[2:]) or tuple(KINDS)
    sys.exit(main(int(given[0]) if given else 50_000, int(given[1]) if given[1:] else 0, chosen))
