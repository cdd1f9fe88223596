"""The work of a cell, one model on one device, in a process of its own; engines start it.

Importing this loads what describes a cell; what works at one (``session``) is loaded where that is done.
"""

from quantize_zoo.cell.cell import Cell
from quantize_zoo.cell.values import Calibration, Finished, Prepared

__all__ = ["Calibration", "Cell", "Finished", "Prepared"]
