"""Which workers work at which cell: a worker that stays with its cell need not open another's session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def share_out(leases: Mapping[str, str], cells: Sequence[str], workers: Sequence[str]) -> dict[str, str]:
    """Return for each worker the cell that it works at; as few as possible change.

    Every cell gets as many workers as every other, or one more.

    Args:
        leases: what it was before, cells and workers among it that are gone.
        cells: those that are open.
        workers: those that there are.

    """
    if not cells:
        return {}
    kept = {worker: leases[worker] for worker in workers if leases.get(worker) in cells}
    of = {cell: [worker for worker in kept if kept[worker] == cell] for cell in cells}
    least, more = divmod(len(workers), len(cells))
    free = [worker for worker in workers if worker not in kept]
    for cell in sorted(cells, key=lambda each: -len(of[each])):
        share = least + (more > 0 and len(of[cell]) > least)
        more -= share > least
        free += of[cell][share:]
        del of[cell][share:]
    for worker in free:
        min(of.values(), key=len).append(worker)
    return {worker: cell for cell, its in of.items() for worker in its}
