"""Ground truth of annotations that read it when they are asked, and inputs beyond the memory beside it."""

import numpy as np
import psutil

from quantize_zoo.engines.dask.memory import _resident
from quantize_zoo.scoring.ground_truth import own_copy, with_ground_truth
from quantize_zoo.scoring.inputs import InputArrays, InputBudget


class Mask:
    """Reads anew whenever it is asked, and a map along with it, as the checker's annotation of depths does."""

    def __init__(self, size=10):
        self._mask, self._map, self._size, self.reads = None, None, size, 0

    @property
    def mask(self):
        if self._mask is None:
            self.reads += 1
            self._map = np.zeros(8 * self._size, np.uint8)
            return np.zeros(self._size, np.uint8)
        return self._mask


class Picture:
    """Keeps what it has read."""

    def __init__(self):
        self._value = None

    @property
    def value(self):
        if self._value is None:
            self._value = [np.zeros(5, np.uint8), b"12345"]
        return self._value


class Matting:
    """Has a foreground in a file of its own, or the mask for one."""

    def __init__(self, path):
        self._fgr, self._foreground_path = None, path

    @property
    def fgr(self):
        return np.ones(3, np.uint8)


class Container:
    def __init__(self, **parts):
        self.representations = parts


class Gone:
    def __init__(self):
        self._mask = None

    @property
    def mask(self):
        raise OSError


class Label:
    def __init__(self):
        self.label = 1


def memory(size, folder):
    return InputArrays(1, InputBudget(folder, size))


def test_all_that_is_read_is_kept_in_a_copy_and_counted(tmp_path):
    annotation = Container(mask=Mask(), picture=Picture())
    room = memory(100, tmp_path)
    (held,) = with_ground_truth([annotation], room)
    parts = held.representations
    assert (parts["mask"].mask is parts["mask"]._mask, parts["picture"]._value[1]) == (True, b"12345")
    assert parts["mask"].reads == 1
    before = annotation.representations
    assert (before["mask"]._mask, before["mask"]._map, before["picture"]._value) == (None, None, None)
    assert room.reserve(0)
    assert not room.reserve(1), "10 of the mask, 80 of the map, 5 and 5 of the picture"


def test_nothing_is_read_once_there_is_no_memory_for_more(tmp_path):
    annotations = [Mask(1), Mask(100), Mask(1)]
    found = list(with_ground_truth(annotations, memory(10, tmp_path)))
    assert [each is not None for each in found] == [True, False, False]
    third = own_copy(annotations[2])
    assert third.reads == 0
    assert third.mask.size == 1
    assert annotations[2]._map is None


def test_a_file_that_is_gone_is_told_of_by_who_scores_and_a_label_is_no_file(tmp_path):
    label = Label()
    found = list(with_ground_truth([Gone(), Mask(), label, None], memory(1000, tmp_path)))
    assert (found[0], found[1] is None, found[2], found[3]) == (None, False, label, None)


def test_a_foreground_without_a_file_stays_the_mask(tmp_path):
    own, other = Matting("foreground.png"), Matting(None)
    found = list(with_ground_truth([own, other], memory(1000, tmp_path)))
    assert found[0]._fgr is not None
    assert found[1] is other


def test_inputs_of_more_than_the_memory_can_be_read(tmp_path):
    """A private copy of so large a file is refused, whatever of it is read."""
    arrays = memory(0, tmp_path)
    value = np.arange(6, dtype=np.float32)
    arrays.append({"image": value})
    arrays._file.flush()
    arrays._file.truncate(1 << 42)  # takes no place
    np.testing.assert_array_equal(arrays.get(0)["image"], value)


def test_pages_of_inputs_on_disk_are_not_what_a_worker_may_not_use(tmp_path):
    arrays = memory(0, tmp_path)
    arrays.append({"image": np.ones(100_000_000, np.uint8)})
    before = _resident(None), psutil.Process().memory_info().rss
    assert arrays.get(0)["image"].sum(dtype=np.int64) == 100_000_000
    after = _resident(None), psutil.Process().memory_info().rss
    assert after[1] - before[1] > 90_000_000
    assert after[0] - before[0] < 10_000_000
