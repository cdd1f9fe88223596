"""What the process of every cell imports, once for all of them: the server that they are forked from imports this.

Nothing here may load a device's plugin or start a thread, which a forked process would not have.
"""

from contextlib import suppress

import scipy.optimize
import scipy.stats  # noqa: F401

from quantize_zoo.cell import session  # noqa: F401
from quantize_zoo.scoring import find_checker

with suppress(Exception):  # the cell says what is wrong with it
    find_checker()
