"""Which samples the search sees, and which are held out to judge what it found.

The best of many trials looks better on the samples that chose it than it is. So a part of the dataset is kept away from
the search. Calibration takes samples of the tuning part: it looks at inputs, never at answers, so sharing them costs
nothing and leaves more samples for both.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

# Not the search's seed: the split of a dataset is the same for every search, so that their figures compare.
_SEED = 0


@dataclass(frozen=True)
class Split:
    """Indices of the dataset's samples: those that trials are scored on, and those that they never see.

    ``scoring`` are the first in the order in which trials are scored, which is random: what ends hopeless trials early
    needs that.
    """

    tuning: tuple[int, ...]
    holdout: tuple[int, ...]
    scoring: tuple[int, ...]


def split_sequences(sequences: Sequence[Hashable], holdout: float, subset: int | None = None) -> Split:
    """Split the steps of sequences: whole sequences are held out, in random order; steps keep theirs.

    Args:
        sequences: of each sample the sequence that it is a step of.
        holdout: the share of the sequences that is held out.
        subset: limits the tuning part; of the last sequence its first steps are taken.

    """
    members: dict[Hashable, list[int]] = {}
    for index, sequence in enumerate(sequences):
        members.setdefault(sequence, []).append(index)
    names = sorted(members, key=str)
    order = [names[position] for position in np.random.default_rng(_SEED).permutation(len(names))]
    held = order[: int(len(order) * holdout)]
    tuning = tuple(index for name in order[len(held) :] for index in members[name])[:subset]
    return Split(tuning, tuple(sorted(index for name in held for index in members[name])), tuning)


def split_samples(
    identifiers: Sequence[str], labels: Sequence[Hashable | None], holdout: float, subset: int | None = None
) -> Split:
    """Split a dataset; ``subset`` limits the tuning part.

    Without a holdout the dataset keeps its order for calibration, and the first samples are the subset, as in POT. Else
    the order is random with a fixed seed, and every label has its share in the holdout; it depends on the samples'
    names and not on their order, which some of the checker's converters take from the file system.
    """
    rng = np.random.default_rng(_SEED)
    if holdout == 0:
        first = range(len(labels))[:subset]
        named = sorted(first, key=lambda index: identifiers[index])
        return Split(tuple(first), (), tuple(named[position] for position in rng.permutation(len(named))))
    by_name = np.argsort(np.array(identifiers), kind="stable")
    order = by_name[rng.permutation(len(labels))]
    groups: dict[Hashable | None, list[int]] = {}
    for index in order:
        groups.setdefault(labels[index], []).append(int(index))
    by_label = [index for group in groups.values() for index in group]
    # Every 1/holdout-th sample in the order of labels.
    counts = np.floor(np.arange(len(labels) + 1) * holdout)
    held = {index for index, taken in zip(by_label, np.diff(counts) > 0, strict=True) if taken}
    tuning = [int(index) for index in order if index not in held]
    seen = tuple(tuning)[:subset]
    return Split(seen, tuple(sorted(held)), seen)
