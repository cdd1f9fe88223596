"""The work of a cell, one model on one device, in a process of its own; engines start it.

Importing this loads what describes a cell; what works at one (``session``) is loaded where that is done.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.cell.cell import Cell
    from quantize_zoo.cell.values import Calibration, Finished, Prepared
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = ["Calibration", "Cell", "Finished", "Prepared"]
