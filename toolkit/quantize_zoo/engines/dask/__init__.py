"""The matrix on Dask: cells over workers, and the trials of a cell over workers; the store stays with the client.

Only imported where Dask is asked for: it is an extra (``pip install quantize-zoo[dask]``).
"""

from quantize_zoo.engines.dask.cluster import connect, serve
from quantize_zoo.engines.dask.engine import DaskEngine

__all__ = ["DaskEngine", "connect", "serve"]
